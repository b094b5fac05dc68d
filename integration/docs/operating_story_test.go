package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
	"github.com/tandem-outbox/tandem/internal/testprograms"
)

// Somebody is on call: each of these goes wrong, is found, and is mended by what the
// page says.
var _ = tell("docs/operating.md", func(p *page) {
	n := &night{page: p}
	n.settleIn()
	n.transactionForgotten()
	n.eventTooLarge()
	n.topicMissing()
	stop := n.messagePoisoned()
	n.publishedAgain()
	stop()
	n.discarded()
	n.failedOver()
	require.Contains(p, strings.Join(p.sql(), "\n"), "log | ")
})

// night is what somebody on call has: the page, and two relays that run.
type night struct {
	*page
	stopRelays func()
}

// tandem runs the program as a login, and returns what it printed and its exit code.
func (n *night) tandem(login string, args ...string) (out string, code int) {
	n.Helper()
	cmd := exec.CommandContext(n.Context(), filepath.Join(n.programs, "tandem"), args...)
	cmd.Env = n.environ(login)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil {
		require.ErrorAs(n, err, &exit)
		code = exit.ExitCode()
	}
	return both.String(), code
}

func (n *night) environ(login string) []string {
	return append(testprograms.Environ(), "PATH="+os.Getenv("PATH"),
		"TANDEM_DATABASE_URL="+n.url(login), "TANDEM_KAFKA_BROKERS="+n.brokers[0])
}

// settleIn is a day on which all is well.
func (n *night) settleIn() {
	n.Helper()
	out, code := n.tandem("owner", "migrate", "up")
	require.Zero(n, code, out)
	n.exec("owner", `GRANT tandem_writer TO shop; GRANT tandem_relay TO relay; GRANT tandem_consumer TO billing`)
	n.topics("orders")
	var stops []func()
	for range 2 {
		stops = append(stops, n.relay())
	}
	n.stopRelays = func() {
		for _, stop := range stops {
			stop()
		}
	}
	n.eventually(func() bool {
		out, _ := n.tandem("relay", "status", "--json")
		var s struct {
			Lease  struct{ Held bool }
			Relays []struct{ Leads bool }
		}
		require.NoError(n, json.Unmarshal([]byte(out), &s), out)
		return s.Lease.Held && len(s.Relays) == 2 && s.Relays[0].Leads
	})
	require.Contains(n, n.sh(), "nothing is wrong")
}

// relay starts one; it is stopped by what is returned, at the latest with the test.
func (n *night) relay() (stop func()) {
	n.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(n.programs, "tandem"), "relay")
	cmd.Env = n.environ("relay")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var log bytes.Buffer
	cmd.Stderr = &log
	require.NoError(n, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var stopped atomic.Bool
	stop = func() {
		if !stopped.Swap(true) {
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				n.Errorf("a relay that was told to stop ended with %v", err)
			}
			if n.Failed() {
				n.Logf("a relay's log:\n%s", log.String())
			}
		}
	}
	n.Cleanup(stop)
	return stop
}

func (n *night) eventually(is func() bool) {
	n.Helper()
	require.Eventually(n, is, 2*time.Minute, 100*time.Millisecond)
}

// add writes an event of a topic as the service does.
func (n *night) add(topic, key string, bytes int) {
	n.Helper()
	n.exec("shop", fmt.Sprintf(`SELECT tandem.add('%s', rpad('{"order": "%s"}', %d), '%[2]s')`, topic, key, max(bytes, 40)))
}

// asides are how many events are set aside in these states.
func (n *night) asides(states string) int {
	n.Helper()
	out, code := n.tandem("relay", "parked", "list", "--json", "--state", states)
	require.Zero(n, code, out)
	var events []json.RawMessage
	require.NoError(n, json.Unmarshal([]byte(out), &events), out)
	return len(events)
}

// limit is what the topic of orders takes from now on.
func (n *night) limit(bytes int) {
	n.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(n.brokers...))
	require.NoError(n, err)
	defer client.Close()
	value := strconv.Itoa(bytes)
	changed, err := kadm.NewClient(client).AlterTopicConfigs(n.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &value}}, "orders")
	require.NoError(n, err)
	require.NoError(n, changed[0].Err)
}

func (n *night) transactionForgotten() {
	n.Helper()
	config, err := pgx.ParseConfig(n.url("shop"))
	require.NoError(n, err)
	config.RuntimeParams["application_name"] = "import"
	forgotten, err := pgx.ConnectConfig(n.Context(), config)
	require.NoError(n, err)
	defer forgotten.Close(context.Background())
	_, err = forgotten.Exec(n.Context(), `BEGIN`)
	require.NoError(n, err)
	_, err = forgotten.Exec(n.Context(), `SELECT tandem.add('orders', 'never', 'o-0')`)
	require.NoError(n, err)
	pid := strconv.Itoa(int(forgotten.PgConn().PID()))
	out, _ := n.tandem("relay", "status")
	require.Contains(n, out, "holding  its own events, and the leaves they are in: pid "+pid+" of shop")

	rows := n.sql()
	require.Len(n, rows, 1)
	require.Contains(n, rows[0], pid+" | import | idle in transaction")
	n.blocks[0].text = strings.ReplaceAll(n.blocks[0].text, "4711", pid)
	require.Equal(n, []string{"t"}, n.sql())
	_, err = forgotten.Exec(n.Context(), `COMMIT`)
	require.Error(n, err)
	n.eventually(func() bool {
		out, _ := n.tandem("relay", "status")
		return !strings.Contains(out, "holding")
	})
}

func (n *night) eventTooLarge() {
	n.Helper()
	n.limit(5_000)
	n.add("orders", "o-1", 20_000)
	n.add("orders", "o-1", 0)
	n.add("orders", "o-2", 0)
	n.eventually(func() bool { return n.asides("parked") == 1 && n.asides("held") == 1 })
	out, code := n.tandem("relay", "doctor")
	require.Equal(n, 1, code)
	require.Contains(n, out, "see: docs/operating.md#parked\n")
	require.Contains(n, out, "see: docs/operating.md#topic-limit\n")

	require.Contains(n, n.sh(), "Message Size Too Large")
	n.limit(1_048_588)
	n.sh()
	require.Zero(n, n.asides("all"))
	records := n.read("orders", 3)
	require.Len(n, records["o-2"], 1)
	require.Len(n, records["o-1"], 2)
	require.Len(n, records["o-1"][0].Value, 20_000, "in order")
}

func (n *night) topicMissing() {
	n.Helper()
	n.add("bills", "o-1", 0)
	n.eventually(func() bool { return n.asides("deferred") == 1 })
	require.Contains(n, n.sh(), "Unknown Topic Or Partition")
	out, code := n.tandem("relay", "parked", "discard", "--topic", "bills", "--why", "a mistake", "--yes")
	require.Equal(n, 1, code, "what waits for its topic cannot be discarded: %s", out)
	n.topics("bills")
	n.read("bills", 1)
	n.eventually(func() bool { return n.asides("all") == 0 })
}

// messagePoisoned leaves a consumer that runs, and returns how to stop it.
func (n *night) messagePoisoned() (stop func()) {
	n.Helper()
	var mended atomic.Bool
	codec := func(m inbox.Message) (key string, err error) {
		if string(m.Key) == "o-9" && !mended.Load() {
			return "", errors.New("there is no such order")
		}
		return string(m.Key), nil
	}
	handler := inbox.Typed(codec, func(ctx context.Context, tx pgx.Tx, m inbox.Message, _ string) error {
		_, err := tx.Exec(ctx, `INSERT INTO charges (order_id) VALUES ($1)`, m.ID)
		return err
	})
	consumer, err := inboxkafka.NewConsumer(inboxkafka.Config{Brokers: n.brokers, Consumer: "billing", Topics: []string{"orders"}}, n.pool("billing"), handler)
	require.NoError(n, err)
	ctx, cancel := context.WithCancel(n.Context())
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx) }()
	stop = func() {
		cancel()
		require.NoError(n, <-ended)
	}
	n.Cleanup(cancel)

	n.add("orders", "o-9", 0)
	n.add("orders", "o-9", 0)
	n.eventually(func() bool { return n.count(`SELECT count(*) FROM tandem.inbox_aside`) == 2 })
	out := n.sh()
	require.Contains(n, out, "see: docs/operating.md#inbox-parked")
	require.Contains(n, out, "undecodable")
	mended.Store(true)
	n.sh()
	n.eventually(func() bool { return n.count(`SELECT count(*) FROM charges`) == 5 })
	require.Zero(n, n.count(`SELECT count(*) FROM tandem.inbox_aside`))
	return stop
}

func (n *night) publishedAgain() {
	n.Helper()
	out := n.sh()
	require.Contains(n, out, "5 events would be published again")
	n.read("orders", 10)
	require.Equal(n, 5, n.count(`SELECT count(*) FROM charges`), "duplicates")
}

func (n *night) discarded() {
	n.Helper()
	n.limit(5_000)
	n.add("orders", "o-3", 20_000)
	n.eventually(func() bool { return n.asides("parked") == 1 })
	out := n.sh()
	require.Contains(n, out, "dry run: 1 parked events would be discarded")
	require.Contains(n, out, "1 parked events are discarded")
	require.Zero(n, n.asides("all"))
}

func (n *night) failedOver() {
	n.Helper()
	n.stopRelays()
	n.exec("owner", `UPDATE tandem.checkpoint SET timeline = timeline + 1`)
	out, code := n.tandem("relay", "relay")
	require.Equal(n, 1, code, out)
	require.Contains(n, out, "see docs/operating.md#checkpoint-timeline")
	require.Contains(n, n.sh(), "dry run: 0 events of the log are to be published")
	require.Contains(n, n.sh(), "rebased: 0 events")
	out, code = n.tandem("relay", "relay", "--until-empty")
	require.Zero(n, code, out)
}
