package integration_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(consumerVariable); ok { // a process of another test's
		if err := runConsumer(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testservers.Main(m)
}
