// With-servers runs a command with a PostgreSQL and a Kafka for it to test with:
//
//	with-servers -- go test ./...
//
// It starts the servers once (or takes those of the environment, see package
// testservers), tells the command their addresses in the environment, passes
// signals on, stops the servers when the command has ended, and exits with the
// command's code. The command has no standard input.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/tandem-outbox/tandem/internal/localproc"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	// The command dies with the thread that started it (see package localproc).
	// The main thread is the one that lives to the end.
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	args = slices.Clone(args)
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(stderr, "usage: with-servers [--] command [argument...]")
		return exitUsage
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	defer testservers.StopAll()

	available, ok := start(signals, stderr)
	if !ok {
		return exitFailed
	}
	return supervise(args, available.Environment, signals, stdout, stderr)
}

// start starts the servers; ok tells whether the command is to be run.
func start(signals <-chan os.Signal, stderr io.Writer) (available testservers.Available, ok bool) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	began := time.Now()
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		available, err = testservers.StartAll(ctx)
	}()
	select {
	case <-done:
	case sig := <-signals:
		cancel(fmt.Errorf("interrupted by signal: %s", sig))
		<-done
		fmt.Fprintf(stderr, "with-servers: interrupted by signal: %s\n", sig)
		return available, false
	}
	if available.Origins != "" {
		fmt.Fprintf(stderr, "with-servers: %s, ready after %s\n", available.Origins, time.Since(began).Round(time.Millisecond))
	}
	if err != nil {
		fmt.Fprintf(stderr, "with-servers: %v\n", err)
		if testservers.UnderCI() {
			return available, false
		}
		fmt.Fprintln(stderr, "with-servers: tests that need what is missing will be skipped (under CI=true this is an error)")
	}
	return available, true
}

// supervise runs the command and returns its exit code.
func supervise(args, environment []string, signals <-chan os.Signal, stdout, stderr io.Writer) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	localproc.Prepare(cmd, nil)
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(stderr, "with-servers: %v\n", err)
		return exitFailed
	}
	done := make(chan error)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			// An error means that the command has just ended.
			_ = localproc.SignalGroup(cmd.Process.Pid, sig.(syscall.Signal))
		case err := <-done:
			// What the command left running would keep using the servers.
			_ = localproc.SignalGroup(cmd.Process.Pid, syscall.SIGKILL)
			return code(err, stderr)
		}
	}
}

func code(err error, stderr io.Writer) int {
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ended) && ended.Exited():
		return ended.ExitCode()
	default:
		fmt.Fprintf(stderr, "with-servers: the command ended badly: %v\n", err)
		return exitFailed
	}
}
