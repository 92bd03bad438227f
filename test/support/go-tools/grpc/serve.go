package main

import (
	"context"
	"flag"
	"log"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

const maxMessageBytes = 16 << 20

// event is one thing that happened to the application.
type event struct {
	Event string `json:"event"`
	Port  int    `json:"port,omitempty"`
	// Of a call.
	Method      string `json:"method,omitempty"`
	HasDeadline bool   `json:"hasDeadline,omitempty"`
	// Calls in progress, this one included.
	AtOnce int64 `json:"atOnce,omitempty"`
	// Why the call's context had ended before its handler did.
	Context string `json:"context,omitempty"`
}

// serve runs gRPC's interoperability service on loopback until it is ordered to stop or its input ends.
func serve(args []string) {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	port := flags.String("port", "0", "where to listen")
	streams := flags.Uint("streams", 0, "calls of one connection at once; 0 for any number")
	_ = flags.Parse(args)

	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", *port))
	if err != nil {
		log.Fatal(err)
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.UnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			defer watch(ctx, info.FullMethod)()
			return handle(ctx, request)
		}),
		grpc.StreamInterceptor(func(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			defer watch(stream.Context(), info.FullMethod)()
			return handle(service, stream)
		}),
	}
	if *streams > 0 {
		options = append(options, grpc.MaxConcurrentStreams(uint32(*streams)))
	}
	server := grpc.NewServer(options...)
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	go orders(func(words []string) {
		if len(words) == 1 && words[0] == "stop" {
			go server.GracefulStop()
		}
	})
	tell(event{Event: "listening", Port: listener.Addr().(*net.TCPAddr).Port})
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}

var inProgress atomic.Int64

// watch tells of the beginning of a call; the result tells of its end.
func watch(ctx context.Context, method string) func() {
	_, hasDeadline := ctx.Deadline()
	tell(event{Event: "begun", Method: method, HasDeadline: hasDeadline, AtOnce: inProgress.Add(1)})
	return func() {
		inProgress.Add(-1)
		ended := event{Event: "ended", Method: method}
		if err := ctx.Err(); err != nil {
			ended.Context = err.Error()
		}
		tell(ended)
	}
}
