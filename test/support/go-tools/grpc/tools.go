//go:build tools

package main

// gRPC's own interoperability client, pinned by go.mod with the library. Its server is not run: that listens on every
// interface. The versions build with Go 1.19.
import _ "google.golang.org/grpc/interop/client"
