package integration_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/pgproxy"
)

// A relay is stopped at the moment when the database has one of its statements
// and it has no answer. Whatever statement it was, nobody waits for it: writers
// write, its successor publishes and gives space back, and no lock is left.
func TestARelayFrozenInADatabaseStepHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for _, step := range []struct {
		name      string
		statement func(pgproxy.Statement) bool
		before    func(*testing.T, *shop) // the relay is started; nil for nothing
		after     func(*testing.T, *shop) // that, to lead it there; nil if it comes by itself
	}{
		{"acquiring the lease", pgproxy.Containing("UPDATE tandem.lease SET epoch"), nil, nil},
		{"renewing the lease", pgproxy.Containing("UPDATE tandem.lease SET expires_at = clock_timestamp()"), nil, nil},
		{"reading the checkpoint", pgproxy.Containing("FROM tandem.checkpoint ORDER BY save"), nil, nil},
		{"polling", pgproxy.Containing("pg_current_wal_insert_lsn"), nil, nil},
		// Its answer is larger than what the network holds.
		{"reading a page", pgproxy.Containing("position <= $4"), nil, func(t *testing.T, s *shop) { s.fillLarge(t, 60) }},
		{"saving the checkpoint", pgproxy.Containing("save_checkpoint"), nil, func(t *testing.T, s *shop) { s.fill(t, 10) }},
		{"cutting the checkpoints back", pgproxy.Containing("compact_checkpoint"), func(t *testing.T, s *shop) { s.saveOften(t) }, func(t *testing.T, s *shop) { s.fill(t, 1) }},
		{"parking an event", parking, func(t *testing.T, s *shop) { s.limitRecords(t, 2000) }, func(t *testing.T, s *shop) { s.add(t, 5000) }},
		{"giving a leaf back", pgproxy.Containing("tandem.reclaim_leaf"), nil, func(t *testing.T, s *shop) {
			s.fill(t, 1)
			s.nextLeaf(t)
			require.NoError(t, s.place(t.Context(), []string{"next"}, 0, true))
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, 2)
			binary := program(t, "tandem")
			if step.before != nil {
				step.before(t, s)
			}
			proxy := pgproxy.Start(t, s.url)
			frozen := make(chan error, 1)
			started := make(chan *relayProcess, 1)
			proxy.After(step.statement, func() {
				r := <-started
				started <- r
				frozen <- r.freeze()
			})
			sleeper := s.startRelay(t, binary, "--database-url", asRelay(t, proxy.URL()))
			started <- sleeper
			if step.after != nil {
				step.after(t, s)
			}
			select {
			case err := <-frozen:
				require.NoError(t, err)
			case <-time.After(time.Minute):
				require.Fail(t, "it has not come there")
			}
			s.goesOnWithout(t, sleeper, binary)
		})
	}
}

// The network between the working relay and the database swallows everything and
// closes nothing. The relay gives up when its lease runs out, and the standby,
// which has another way, takes over.
func TestAHalfOpenConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	s := newShop(t, 1)
	binary := program(t, "tandem")
	proxy := pgproxy.Start(t, s.url)
	const lease, look = time.Second, 250 * time.Millisecond
	cutOff := s.startRelay(t, binary, "--database-url", asRelay(t, proxy.URL()))
	cutOff.awaitLog(t, "msg=relaying")
	standby := s.startRelay(t, binary)
	standby.awaitLog(t, "standing by")
	stop := s.steadily(t)
	s.awaitTopic(t, 20)

	proxy.Swallow()
	began := time.Now()
	standby.awaitLog(t, "msg=relaying")
	taken := time.Since(began)
	cutOff.awaitLog(t, "relaying is interrupted")
	t.Logf("taken over after %v, given up after at most %v", taken, time.Since(began))
	require.Less(t, taken, lease+look+10*time.Second, "the database's clock counts; the ten seconds are for a busy machine")
	s.awaitTopic(t, s.inTopic(t)+20)
	stop()
	s.read(t)

	require.NoError(t, cutOff.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cutOff.Wait(), "told to stop while it reaches for the database")
}

// goesOnWithout wants everything to work while a relay is frozen, and after.
func (s *shop) goesOnWithout(t *testing.T, sleeper *relayProcess, binary string) {
	t.Helper()
	began := time.Now()
	soon, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	require.NoError(t, s.place(soon, []string{"first"}, 0, true), "a writer waits")
	s.noLocks(t, sleeper)
	written := time.Since(began)

	s.startRelay(t, binary).awaitLog(t, "msg=relaying")
	taken := time.Since(began)
	require.Less(t, taken, 30*time.Second)
	s.nextLeaf(t)
	require.NoError(t, s.place(t.Context(), []string{"second"}, 0, true))
	require.Eventually(t, func() bool { return s.oldLeaves(t) == 0 }, time.Minute, 20*time.Millisecond, "no space is given back")
	t.Logf("without locks after %v, taken over after %v, space given back after %v", written, taken, time.Since(began))
	s.read(t)
	epoch, before := s.int(t, `SELECT epoch FROM tandem.lease`), s.inTopic(t)

	require.NoError(t, sleeper.Process.Signal(syscall.SIGCONT))
	sleeper.awaitLog(t, "standing by")
	require.LessOrEqual(t, s.inTopic(t), before+2*2000, "more than a request for each lane")
	require.NoError(t, s.place(t.Context(), []string{"third"}, 0, true))
	s.read(t)
	s.awaitSaved(t)
	require.Equal(t, epoch, s.int(t, `SELECT epoch FROM tandem.lease`))
	require.Equal(t, epoch, s.int(t, `SELECT epoch FROM tandem.checkpoint ORDER BY save DESC LIMIT 1`))
}

// freeze stops the process and returns when it stands still.
func (p *relayProcess) freeze() error {
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	var status syscall.WaitStatus
	_, err := syscall.Wait4(p.Process.Pid, &status, syscall.WUNTRACED, nil)
	if err == nil && !status.Stopped() {
		err = fmt.Errorf("the relay ended: %v", status)
	}
	return err
}

// noLocks waits until the relay's sessions hold no lock on Tandem's tables.
func (s *shop) noLocks(t *testing.T, r *relayProcess) {
	t.Helper()
	require.Eventually(t, func() bool {
		return s.int(t, `SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) JOIN pg_class AS c ON c.oid = l.relation
			WHERE a.application_name LIKE '%/' || $1::text AND c.relnamespace = 'tandem'::regnamespace`, fmt.Sprint(r.Process.Pid)) == 0
	}, 15*time.Second, 10*time.Millisecond, "the frozen relay holds locks")
}

// nextLeaf makes what is written next go to another leaf of the log.
func (s *shop) nextLeaf(t testing.TB) {
	t.Helper()
	s.int(t, `SELECT setval('tandem.log_position', (last_value / 131072 + 1) * 131072) FROM tandem.log_position`)
}

// oldLeaves is how many leaves hold events, apart from the one being written.
func (s *shop) oldLeaves(t testing.TB) int {
	t.Helper()
	return s.int(t, `SELECT count(DISTINCT position / 131072) - 1 FROM tandem.log`)
}

// parking matches a save of the checkpoint that sets events aside.
func parking(s pgproxy.Statement) bool {
	return strings.Contains(s.SQL, "save_checkpoint") && len(s.Parameters) > 11 && s.Parameters[11] != nil
}

// limitRecords makes the topic refuse what is larger.
func (s *shop) limitRecords(t *testing.T, bytes int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...))
	require.NoError(t, err)
	defer client.Close()
	limit := fmt.Sprint(bytes)
	done, err := kadm.NewClient(client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}, s.topic)
	require.NoError(t, err)
	for _, topic := range done {
		require.NoError(t, topic.Err)
	}
}

// add adds an event of a key of its own that the topic is not expected to get.
func (s *shop) add(t *testing.T, bytes int) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), `INSERT INTO tandem.log (topic, key, payload) VALUES ($1, 'refused', repeat('x', $2)::bytea)`, s.topic, bytes)
	require.NoError(t, err)
}

// fillLarge adds n events of 100 kB at once.
func (s *shop) fillLarge(t testing.TB, n int) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), `INSERT INTO tandem.log (topic, key, payload)
		SELECT $1, 'large', ('large ' || n || ' true ' || repeat('x', 100000))::bytea FROM generate_series(1, $2::integer) AS n`, s.topic, n)
	require.NoError(t, err)
	s.committed["large"] = n
}

// saveOften leaves behind what many short terms have saved: with the next save
// the checkpoints are cut back.
func (s *shop) saveOften(t *testing.T) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), `INSERT INTO tandem.checkpoint (prev) SELECT '3:3:' FROM generate_series(1, 4095)`)
	require.NoError(t, err)
}
