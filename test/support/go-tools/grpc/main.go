// The two ends of the gRPC calls that tests watch: `serve` is an application, `call` a client. Each reads orders from its
// standard input, a line each, and tells what it sees in lines of JSON; it ends with its input.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
	"strings"
	"sync"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: grpc serve|call [flags]")
	}
	switch mode, flags := os.Args[1], os.Args[2:]; mode {
	case "serve":
		serve(flags)
	case "call":
		call(flags)
	default:
		log.Fatalf("Unknown mode %q", mode)
	}
}

var output sync.Mutex

// tell writes one line; calls side by side tell one after the other.
func tell(line any) {
	output.Lock()
	defer output.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		log.Fatal(err)
	}
}

// orders hands on the words of each line until there are no more, which ends the program.
func orders(obey func(words []string)) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		obey(strings.Fields(lines.Text()))
	}
	os.Exit(0)
}
