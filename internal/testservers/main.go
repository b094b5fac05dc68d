package testservers

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Main is the TestMain of a package whose tests use servers: it runs the tests,
// stops what they started, fails when a goroutine is left, and exits. Others
// names goroutines that are not ours to end.
func Main(m *testing.M, others ...goleak.Option) {
	code := m.Run()
	StopAll()
	if code == 0 {
		if err := goleak.Find(append(legitimate(), others...)...); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines that the tests left behind:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// legitimate names the goroutines that may stay: none of ours.
func legitimate() []goleak.Option {
	if !usedContainers.Load() {
		return nil
	}
	return []goleak.Option{
		// testcontainers keeps a connection to its reaper, which removes the
		// containers when this process is killed; there is no way to close it.
		goleak.IgnoreAnyFunction("github.com/testcontainers/testcontainers-go.(*Reaper).connect.func1"),
	}
}
