package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
)

const consumerVariable = "TANDEM_TEST_CONSUMER"

// consumerProcess is a consumer in a process of its own, which can be killed and
// frozen: this test binary with an order in its environment.
type consumerProcess struct {
	*exec.Cmd
	input  io.WriteCloser
	output *bufio.Reader
}

// order is what such a process is to do.
type order struct {
	Database, Topic string
	Brokers         []string
	// KilledAtCommit makes it kill itself when it is about to send the offset
	// of its first batch, whose transaction is committed then.
	KilledAtCommit bool
	// PauseAt is the message in whose handler it says so, once, and waits for
	// a line on its standard input.
	PauseAt string
}

func startConsumerProcess(t *testing.T, o order) *consumerProcess {
	t.Helper()
	text, err := json.Marshal(o)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	p := &consumerProcess{Cmd: exec.Command(self)}
	p.Env = append(os.Environ(), consumerVariable+"="+string(text))
	p.Stderr = os.Stderr
	p.input, err = p.StdinPipe()
	require.NoError(t, err)
	output, err := p.StdoutPipe()
	require.NoError(t, err)
	p.output = bufio.NewReader(output)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	return p
}

// awaitLine reads the process's output up to a line.
func (p *consumerProcess) awaitLine(t *testing.T, want string) {
	t.Helper()
	for {
		line, err := p.output.ReadString('\n')
		require.NoError(t, err, "waiting for %q", want)
		if line == want+"\n" {
			return
		}
	}
}

// runConsumer is what such a process does instead of running tests.
func runConsumer(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	pool, err := pgxpool.New(ctx, o.Database)
	if err != nil {
		return err
	}
	defer pool.Close()
	config := consumerConfig(o.Brokers, o.Topic)
	if o.KilledAtCommit {
		config.Dial = dialSuicidal
	}
	var once sync.Once
	consumer, err := inboxkafka.NewConsumer(config, pool, func(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
		err := addEffect(ctx, tx, m)
		if string(m.Value) == o.PauseAt {
			once.Do(func() {
				fmt.Println("\npaused")
				_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
			})
		}
		return err
	})
	if err != nil {
		return err
	}
	return consumer.Run(ctx)
}

// dialSuicidal opens connections that kill the process instead of sending a
// request to commit an offset.
func dialSuicidal(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return suicidal{conn}, err
}

type suicidal struct{ net.Conn }

func (s suicidal) Write(b []byte) (int, error) {
	const offsetCommit = 8 // its API key, behind four bytes of length
	if len(b) > 6 && b[4] == 0 && b[5] == offsetCommit {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return s.Conn.Write(b)
}

// consumerConfig has the shortest session that brokers allow by default.
func consumerConfig(brokers []string, topic string) inboxkafka.Config {
	return inboxkafka.Config{
		Brokers: brokers, Consumer: "billing", GroupID: topic, Topics: []string{topic}, BatchSize: 20,
		LockTimeout: 200 * time.Millisecond, IdleTimeout: 2 * time.Second,
		SessionTimeout: 6 * time.Second, DrainTimeout: 2 * time.Second,
		RetryMin: 10 * time.Millisecond, RetryMax: 200 * time.Millisecond,
	}
}

func addEffect(ctx context.Context, tx pgx.Tx, m inbox.Message) error {
	_, err := tx.Exec(ctx, `INSERT INTO public.effects (name) VALUES ($1)`, string(m.Value))
	return err
}
