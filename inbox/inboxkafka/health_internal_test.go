package inboxkafka

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	now := time.Now()
	before := func(d time.Duration) time.Time { return now.Add(-d) }
	away := errors.New("connection refused")
	member := func(s *stats) { s.standing = standing{state: isMember, since: before(time.Hour)} }
	has := func(p PartitionStats) func(*stats) {
		return func(s *stats) {
			member(s)
			p.Topic, p.mu = "orders", &s.mu
			s.partitions[&p] = struct{}{}
		}
	}
	for name, c := range map[string]struct {
		given func(*stats)
		want  string // empty: it is well
	}{
		"before Run":                {func(*stats) {}, "does not run"},
		"starting":                  {func(s *stats) { s.stand(isStarting, nil) }, "the consumer is starting"},
		"waiting for its broker":    {func(s *stats) { s.stand(isStarting, away) }, "waits for what it needs: connection refused"},
		"stopping":                  {func(s *stats) { s.stand(isStopping, nil) }, "the consumer is stopping"},
		"standing by":               {member, ""},
		"out of the group, briefly": {func(s *stats) { s.standing = standing{isApart, before(59 * time.Second), away} }, ""},
		"out of the group": {func(s *stats) { s.standing = standing{isApart, before(time.Minute), away} },
			`cannot be a member of group "billing", for 1m0s now: connection refused`},
		"working":          {has(PartitionStats{State: "working", Since: before(time.Hour)}), ""},
		"blocked, briefly": {has(PartitionStats{State: "blocked", Since: before(59 * time.Second)}), ""},
		"blocked": {has(PartitionStats{Partition: 3, State: "blocked", Why: "messages cannot be fetched", cause: away, Since: before(2 * time.Minute)}),
			"orders/3 is blocked, for 2m0s now: messages cannot be fetched: connection refused"},
		"blocked by its handler": {has(PartitionStats{State: "blocked", Why: "message after message fails", Since: before(time.Hour)}),
			"orders/0 is blocked, for 1h0m0s now: message after message fails"},
		"held by a message": {has(PartitionStats{State: "blocked", policy: true, Since: before(time.Hour)}), ""},
		"not taken over": {has(PartitionStats{State: "starting", Why: "it is being taken over", Since: before(time.Hour)}),
			"orders/0 is starting, for 1h0m0s now: it is being taken over"},
		"a silent database, briefly": {func(s *stats) { member(s); s.silence = silence{before(time.Second), away} }, ""},
		"a silent database": {func(s *stats) { member(s); s.silence = silence{before(time.Hour), away} },
			"the database has not answered for 1h0m0s: connection refused"},
	} {
		consumer := &Consumer{config: Config{GroupID: "billing"}, stats: newStats([]string{"orders"})}
		c.given(consumer.stats)
		err := consumer.health(now)
		if c.want == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.want, name)
		}
	}
}

func TestSilenceLastsFromTheFirstFailureToTheNextSuccess(t *testing.T) {
	t.Parallel()
	s := newStats(nil)
	s.beaten(errors.New("first"))
	since := s.silence.since
	require.False(t, since.IsZero())
	s.beaten(errors.New("second"))
	require.Equal(t, since, s.silence.since)
	require.EqualError(t, s.silence.err, "second")
	s.beaten(nil)
	require.Zero(t, s.silence)
}
