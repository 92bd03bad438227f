//go:build tools

// Package gotools names the Go programs that tests run, so that go.mod pins them. The versions build with Go 1.19.
package gotools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
