package stories_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/kafkaproxy"
	"github.com/tandem-outbox/tandem/internal/pgproxy"
)

// limit is how long anything may take that a story waits for.
const limit = 2 * time.Minute

// consumer is a consumer's process, with proxies between it and its servers.
type consumer struct {
	cmd      *exec.Cmd
	postgres *pgproxy.Proxy
	kafka    *kafkaproxy.Proxy
	output   bytes.Buffer // to be read after exited
	exited   chan struct{}

	started chan struct{} // closed when it has asked for something
	met     chan step     // gets the step that the fault met
	resume  func()        // ends what holds a request while the process is frozen

	mu   sync.Mutex
	left int // requests until the fault; below 1 there is none to come
}

func startConsumer(t *testing.T, o childOrder, database string, f *fault) *consumer {
	t.Helper()
	held := make(chan struct{})
	c := &consumer{
		postgres: pgproxy.Start(t, database), kafka: kafkaproxy.Start(t),
		started: make(chan struct{}), exited: make(chan struct{}), met: make(chan step, 1), resume: sync.OnceFunc(func() { close(held) }),
	}
	t.Cleanup(c.resume)
	o.Database, o.Kafka = c.postgres.URL(), c.kafka.Address()
	text, err := json.Marshal(o)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	c.cmd = exec.Command(self)
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	c.cmd.Stdout, c.cmd.Stderr = &c.output, &c.output
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if f != nil {
		c.arm(*f, held)
	}
	c.postgres.After(pgproxy.Containing(""), func() { close(c.started) })
	require.NoError(t, c.cmd.Start())
	go func() {
		_ = c.cmd.Wait() // how it ended is in ProcessState
		close(c.exited)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.exited
		if t.Failed() {
			t.Logf("a consumer's output, which ended with %v:\n%s", c.cmd.ProcessState, c.output.Bytes())
		}
	})
	return c
}

// arm lets the fault happen.
func (c *consumer) arm(f fault, held <-chan struct{}) {
	c.left = f.count
	var at step
	hit := func(s step) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.left < 1 || f.step != s && (f.step != "" || s == other) {
			return false
		}
		c.left--
		at = s
		return c.left == 0
	}
	do := func() {
		c.met <- at
		switch f.action {
		case kill:
			c.postgres.Swallow()
			c.kafka.Swallow()
			_ = c.cmd.Process.Kill()
		case freeze:
			_ = c.cmd.Process.Signal(syscall.SIGSTOP)
			<-held
		}
	}
	postgres := []func(func(pgproxy.Statement) bool, func()){c.postgres.Before, c.postgres.After, c.postgres.Answered}
	kafka := []func(func(kafkaproxy.Key) bool, func()){c.kafka.Before, c.kafka.After, c.kafka.Answered}
	seen := &transactions{last: map[int64]step{}}
	postgres[f.moment](func(s pgproxy.Statement) bool { return hit(seen.step(s)) }, do)
	kafka[f.moment](func(k kafkaproxy.Key) bool { return hit(stepOfKafka(k)) }, do)
}

// disarm keeps a fault from happening that has not, and tells whether that was so.
func (c *consumer) disarm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	armed := c.left > 0
	c.left = 0
	return armed
}

// awaitExit waits for the process's end, and returns whether it was killed.
func (c *consumer) awaitExit(t *testing.T) (killed bool) {
	t.Helper()
	select {
	case <-c.exited:
	case <-time.After(limit):
		_ = c.cmd.Process.Signal(syscall.SIGQUIT) // it shows its goroutines
		<-c.exited
		require.Fail(t, "the consumer does not end")
	}
	status := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		require.Equal(t, syscall.SIGKILL, status.Signal())
		return true
	}
	require.Zero(t, status.ExitStatus(), "the consumer has failed")
	return false
}

// terminate asks the process to end, which it does by itself, unless a fault that
// is still to come meets it on its way.
func (c *consumer) terminate(t *testing.T) (killed bool) {
	t.Helper()
	select {
	case <-c.started: // it can take the signal
	case <-c.exited:
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	return c.awaitExit(t)
}

// thaw lets a frozen consumer go on.
func (c *consumer) thaw(t *testing.T) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGCONT))
	c.resume()
}

// await waits for something to be so.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, limit, 20*time.Millisecond, what)
}
