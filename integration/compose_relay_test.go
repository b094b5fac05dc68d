package integration_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/localproc"
	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// readyTimeout is how long the relay may take to be ready, and to stop.
const readyTimeout = 30 * time.Second

// The file's commands and variables, with addresses of servers that are here:
// the schema is made, the relay gets as far as its health check asks, and stops
// cleanly.
func TestComposeRelayBecomesReady(t *testing.T) {
	t.Parallel()
	tandem := program(t, "tandem")
	project := compose(t)
	port, err := localproc.FreePort()
	require.NoError(t, err)
	here := map[string]string{
		"TANDEM_DATABASE_URL":  testservers.Postgres(t),
		"TANDEM_KAFKA_BROKERS": strings.Join(testservers.Kafka(t), ","),
		"TANDEM_HTTP_ADDR":     fmt.Sprintf("127.0.0.1:%d", port),
	}
	migrate := command(t, tandem, service(t, project, "migrate"), here)
	out, err := migrate.CombinedOutput()
	require.NoError(t, err, "%s", out)

	relay := service(t, project, "relay")
	running := command(t, tandem, relay, here)
	var log bytes.Buffer
	running.Stdout, running.Stderr = &log, &log
	require.NoError(t, running.Start())
	var ending error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ending = running.Wait()
	}()
	t.Cleanup(func() {
		_ = running.Process.Kill() // no error matters: it has ended, or does now
		<-ended
	})

	check, err := url.Parse(relay.HealthCheck.Test[len(relay.HealthCheck.Test)-1])
	require.NoError(t, err)
	check.Host = here["TANDEM_HTTP_ADDR"]
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	require.Eventually(t, func() bool { return status(client, check.String()) == http.StatusOK }, readyTimeout, 50*time.Millisecond)
	check.Path = "/healthz"
	require.Equal(t, http.StatusOK, status(client, check.String()))

	require.NoError(t, running.Process.Signal(syscall.SIGTERM))
	select {
	case <-ended:
		require.NoError(t, ending, "%s", log.String())
	case <-time.After(readyTimeout):
		t.Fatalf("the relay did not stop within %s", readyTimeout)
	}
}

// command is what compose would run, with the addresses that are here in place
// of those of the file. Nothing else of TANDEM_* is set.
func command(t *testing.T, binary string, s types.ServiceConfig, here map[string]string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(binary, s.Command...)
	cmd.Env = testprograms.Environ()
	for name := range s.Environment {
		value, ok := here[name]
		require.True(t, ok, "say in this test what %s is here", name)
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	localproc.Prepare(cmd, nil)
	return cmd
}

// status is the answer's code, or 0 when there is none.
func status(client *http.Client, address string) int {
	answer, err := client.Get(address)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}
