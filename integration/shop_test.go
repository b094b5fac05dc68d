package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

// shop is a service's database with accounts, whose version is drawn under
// their row's lock and sent along: what a consumer should see, in what order.
type shop struct {
	url     string
	pool    *pgxpool.Pool
	brokers []string
	topic   string

	mu        sync.Mutex
	committed map[string]int // the last committed version of each key
}

func newShop(t testing.TB, partitions int) *shop {
	t.Helper()
	return openShop(t, testservers.Migrated(t), testservers.Kafka(t), testservers.Topic(t, partitions))
}

func openShop(t testing.TB, address string, brokers []string, topic string) *shop {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), address)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s := &shop{url: address, pool: pool, brokers: brokers, topic: topic, committed: map[string]int{}}
	_, err = pool.Exec(t.Context(), `CREATE TABLE IF NOT EXISTS public.accounts (key text PRIMARY KEY, version integer NOT NULL)`)
	require.NoError(t, err)
	return s
}

// place changes each account and adds its event in one transaction, and then
// commits or rolls back. The keys are locked in the order given.
func (s *shop) place(ctx context.Context, keys []string, pause time.Duration, commit bool) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// The transaction has its id before it waits for anybody, so that ids and
	// the order of the writers disagree as often as can be.
	if _, err := tx.Exec(ctx, `SELECT pg_current_xact_id()`); err != nil {
		return err
	}
	versions := map[string]int{}
	for _, key := range keys {
		if _, err := tx.Exec(ctx, `SELECT pg_sleep($1)`, pause.Seconds()); err != nil {
			return err
		}
		var version int
		err := tx.QueryRow(ctx, `INSERT INTO public.accounts VALUES ($1, 1)
			ON CONFLICT (key) DO UPDATE SET version = accounts.version + 1 RETURNING version`, s.topic+key).Scan(&version)
		if err != nil {
			return err
		}
		versions[key] = version
		payload := fmt.Sprintf("%s %d %t", key, version, commit)
		if err := outbox.Add(ctx, tx, outbox.Event{Topic: s.topic, Key: key, Payload: []byte(payload)}); err != nil {
			return err
		}
	}
	if !commit {
		return nil
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, version := range versions {
		s.committed[key] = max(s.committed[key], version)
	}
	return nil
}

// events is how many events were committed.
func (s *shop) events() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0
	for _, version := range s.committed {
		sum += version
	}
	return sum
}

// delivery is what the topic was found to hold.
type delivery struct {
	records int
	repeats int
	ids     map[string]string // the ce_id of each payload
}

// read reads the topic until every committed event was seen, then to its end,
// and checks the promise: nothing of a rolled-back transaction, the first
// appearances of a key in the order of its versions without a gap, and each
// repetition under the id it had before.
func (s *shop) read(t testing.TB) delivery {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(s.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d := delivery{ids: map[string]string{}}
	seen := map[string]int{}
	for missing := s.events(); missing > 0 || d.records < s.inTopic(t); {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err(), "%d of %d events have not come", missing, s.events())
		fetches.EachRecord(func(r *kgo.Record) {
			d.records++
			payload, id := string(r.Value), header(r, "ce_id")
			var key string
			var version int
			var commit bool
			_, err := fmt.Sscan(payload, &key, &version, &commit)
			require.NoError(t, err)
			require.Equal(t, string(r.Key), key)
			require.Truef(t, commit, "an event of a rolled-back transaction is in the topic: %s", payload)
			if version <= seen[key] {
				require.Equal(t, d.ids[payload], id, "a repetition has another id")
				d.repeats++
				return
			}
			require.Equalf(t, seen[key]+1, version, "key %s is out of order", key)
			seen[key] = version
			d.ids[payload] = id
			missing--
		})
	}
	require.Equal(t, s.committed, seen)
	return d
}

func (s *shop) inTopic(t testing.TB) int { return countRecords(t, s.brokers, s.topic) }

// lag is how many records the consumer's group has not committed yet.
func (s *shop) lag(t testing.TB) int {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...))
	require.NoError(t, err)
	defer client.Close()
	committed, err := kadm.NewClient(client).FetchOffsets(t.Context(), s.topic)
	require.NoError(t, err)
	sum := 0
	committed.Offsets().Each(func(o kadm.Offset) { sum += int(o.At) })
	return s.inTopic(t) - sum
}

// countRecords adds up what the partitions of a topic hold.
func countRecords(t testing.TB, brokers []string, topic string) int {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	require.NoError(t, err)
	require.NoError(t, ends.Error())
	sum := 0
	ends.Each(func(o kadm.ListedOffset) { sum += int(o.Offset) })
	return sum
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// relayProcess is "tandem relay" as a process.
type relayProcess struct {
	*exec.Cmd
	log string
}

// asRelay is the database's URL with a relay's rights and nothing more.
func asRelay(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	parameters := u.Query()
	parameters.Set("role", "tandem_relay")
	parameters.Set("search_path", "")
	u.RawQuery = parameters.Encode()
	return u.String()
}

// awaitLog waits until the relay has logged text, or said it on its way out.
func (p *relayProcess) awaitLog(t testing.TB, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(p.log)
		return err == nil && bytes.Contains(log, []byte(text))
	}, time.Minute, 10*time.Millisecond, "the relay has not said %q", text)
}

// startRelay starts a relay with a lease of one second. The test ends it.
func (s *shop) startRelay(t testing.TB, binary string, flags ...string) *relayProcess {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "relay.log"))
	require.NoError(t, err)
	defer log.Close()
	p := &relayProcess{log: log.Name(), Cmd: exec.Command(binary, append([]string{"relay", "--lease", "1s"}, flags...)...)}
	p.Env = append(testprograms.Environ(), "TANDEM_DATABASE_URL="+asRelay(t, s.url), "TANDEM_KAFKA_BROKERS="+s.brokers[0])
	p.Stdout, p.Stderr = log, log
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		_ = p.Process.Signal(syscall.SIGCONT)
		_ = p.Process.Kill()
		_ = p.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("the relay's log:\n%s", text)
		}
	})
	return p
}

// awaitTopic waits until the topic holds n records.
func (s *shop) awaitTopic(t testing.TB, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return s.inTopic(t) >= n }, time.Minute, 20*time.Millisecond, "%d records in the topic", n)
}

func (s *shop) int(t testing.TB, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, s.pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}
