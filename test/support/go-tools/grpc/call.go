package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// answer is what came of an order.
type answer struct {
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
}

// client has one connection and at most one call that is kept open.
type client struct {
	service testgrpc.TestServiceClient
	stream  testgrpc.TestService_FullDuplexCallClient
	cancel  context.CancelFunc
}

// call obeys orders over one connection; every order has one answer.
func call(args []string) {
	flags := flag.NewFlagSet("call", flag.ExitOnError)
	address := flags.String("address", "", "host and port")
	ca := flags.String("ca", "", "file of the authority's certificate")
	name := flags.String("name", "", "the server's name")
	pairs := flags.String("metadata", "", "of every call, as name:value;name:value")
	_ = flags.Parse(args)

	creds, err := credentials.NewClientTLSFromFile(*ca, *name)
	if err != nil {
		log.Fatal(err)
	}
	added := strings.FieldsFunc(*pairs, func(r rune) bool { return r == ':' || r == ';' })
	connection, err := grpc.NewClient(*address,
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
			return invoke(metadata.AppendToOutgoingContext(ctx, added...), method, request, reply, cc, options...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
			return open(metadata.AppendToOutgoingContext(ctx, added...), desc, cc, method, options...)
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	one := &client{service: testgrpc.NewTestServiceClient(connection)}
	orders(func(words []string) {
		err := one.obey(words)
		result := status.Convert(err)
		tell(answer{Code: result.Code().String(), Message: result.Message()})
	})
}

func (c *client) obey(words []string) error {
	numbers := []int{}
	for _, word := range words[1:] {
		number, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		numbers = append(numbers, number)
	}
	switch order := words[0]; {
	case order == "unary" && len(numbers) == 1:
		return c.unary(numbers[0])
	case order == "open" && len(numbers) == 0:
		ctx, cancel := context.WithCancel(context.Background())
		return c.open(ctx, cancel)
	case order == "open" && len(numbers) == 1:
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(numbers[0])*time.Millisecond)
		return c.open(ctx, cancel)
	case order == "exchange" && len(numbers) == 2:
		return exchange(c.stream, numbers[0], numbers[1])
	case order == "cancel":
		c.cancel()
		return end(c.stream)
	case order == "wait":
		return end(c.stream)
	case order == "finish":
		if err := c.stream.CloseSend(); err != nil {
			return err
		}
		return end(c.stream)
	case order == "streams" && len(numbers) == 2:
		return c.streams(numbers[0], numbers[1])
	}
	return errors.New("unknown order")
}

// unary sends as many bytes as it asks for.
func (c *client) unary(bytes int) error {
	reply, err := c.service.UnaryCall(context.Background(), &testpb.SimpleRequest{
		Payload:      interop.ClientNewPayload(testpb.PayloadType_COMPRESSABLE, bytes),
		ResponseSize: int32(bytes),
	})
	if err != nil {
		return err
	}
	return measure(reply.GetPayload(), bytes)
}

// open begins the call that is kept; the application has answered once.
func (c *client) open(ctx context.Context, cancel context.CancelFunc) error {
	stream, err := c.service.FullDuplexCall(ctx)
	if err != nil {
		cancel()
		return err
	}
	c.stream, c.cancel = stream, cancel
	return exchange(stream, 1, 1)
}

// streams opens that many calls, holds all until enough of them have been answered, and ends them.
func (c *client) streams(count, enough int) error {
	var all, answered sync.WaitGroup
	answered.Add(enough)
	failures := make(chan error, count)
	places := make(chan struct{}, enough)
	for i := 0; i < enough; i++ {
		places <- struct{}{}
	}
	for i := 0; i < count; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			stream, err := c.service.FullDuplexCall(context.Background())
			if err == nil {
				err = exchange(stream, 1, 1)
			}
			select {
			case <-places:
				answered.Done()
			default:
			}
			answered.Wait()
			if err == nil {
				err = stream.CloseSend()
			}
			if err == nil {
				err = end(stream)
			}
			if err != nil {
				failures <- err
			}
		}()
	}
	all.Wait()
	close(failures)
	return <-failures
}

// exchange sends a message and reads the answer of that size, over and over.
func exchange(stream testgrpc.TestService_FullDuplexCallClient, times, bytes int) error {
	request := &testpb.StreamingOutputCallRequest{
		Payload:            interop.ClientNewPayload(testpb.PayloadType_COMPRESSABLE, bytes),
		ResponseParameters: []*testpb.ResponseParameters{{Size: int32(bytes)}},
	}
	for i := 0; i < times; i++ {
		// The end of the call shows in what is read.
		if err := stream.Send(request); err != nil && err != io.EOF {
			return err
		}
		reply, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := measure(reply.GetPayload(), bytes); err != nil {
			return err
		}
	}
	return nil
}

// end reads on until the call has ended.
func end(stream testgrpc.TestService_FullDuplexCallClient) error {
	for {
		if _, err := stream.Recv(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func measure(payload *testpb.Payload, bytes int) error {
	if len(payload.GetBody()) != bytes {
		return errors.New("answer of another size")
	}
	return nil
}
