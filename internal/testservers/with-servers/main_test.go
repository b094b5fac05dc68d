package main

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// given makes the servers ones of the environment, so that none is started.
func given(t *testing.T) {
	t.Setenv(testservers.DatabaseURLVariable, "postgres://someone:secret@127.0.0.1:1/postgres")
	t.Setenv(testservers.KafkaBrokersVariable, "127.0.0.1:2")
}

func TestCommandGetsAddressesAndNoInput(t *testing.T) {
	given(t)
	var stdout, stderr bytes.Buffer
	script := `cat; echo "$TANDEM_TEST_DATABASE_URL $TANDEM_TEST_KAFKA_BROKERS"; exit 7`
	require.Equal(t, 7, run([]string{"--", "sh", "-c", script}, &stdout, &stderr))
	require.Equal(t, "postgres://someone:secret@127.0.0.1:1/postgres 127.0.0.1:2\n", stdout.String())
	require.Contains(t, stderr.String(), testservers.DatabaseURLVariable)
	require.NotContains(t, stderr.String(), "secret")
}

func TestSignalsArePassedOn(t *testing.T) {
	given(t)
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	var stdout, stderr bytes.Buffer
	done := make(chan int)
	go func() {
		done <- supervise([]string{"sleep", "600"}, nil, signals, &stdout, &stderr)
	}()
	select {
	case got := <-done:
		require.Equal(t, exitFailed, got)
		require.Contains(t, stderr.String(), "terminated")
	case <-time.After(30 * time.Second):
		t.Fatal("the command did not get the signal")
	}
}

func TestNoCommandIsWrongUsage(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitUsage, run(nil, &stdout, &stderr))
	require.Contains(t, stderr.String(), "usage")
}

func TestMissingProgramFails(t *testing.T) {
	given(t)
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitFailed, run([]string{"no-such-program"}, &stdout, &stderr))
	require.Contains(t, stderr.String(), "no-such-program")
}

func TestMissingServerFailsUnderCI(t *testing.T) {
	given(t)
	t.Setenv(testservers.KafkaBrokersVariable, testservers.NotToBeHad)
	t.Setenv("CI", "true")
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitFailed, run([]string{"true"}, &stdout, &stderr))
	require.Contains(t, stderr.String(), "no Kafka for the tests")
}
