package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = ""

// system is what the program gets from outside, besides its arguments.
type system struct {
	env            []string
	stdin          io.Reader
	stdout, stderr io.Writer
	// abort is closed when a second signal says that waiting is over.
	abort <-chan struct{}
}

func main() {
	ctx, abort := signals()
	os.Exit(run(ctx, os.Args[1:], system{
		env: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, abort: abort,
	}))
}

// signals ends ctx at the first SIGTERM or SIGINT, and closes abort at the second.
func signals() (ctx context.Context, abort <-chan struct{}) {
	received := make(chan os.Signal, 2)
	signal.Notify(received, syscall.SIGTERM, os.Interrupt)
	ctx, cancel := context.WithCancel(context.Background())
	second := make(chan struct{})
	go func() { // lives as long as the process
		<-received
		cancel()
		<-received
		close(second)
	}()
	return ctx, second
}
