package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/testprograms"
)

// tandem runs a command of the real program, with a relay's rights.
func (s *shop) tandem(t *testing.T, binary string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, arguments...)
	cmd.Env = append(testprograms.Environ(), "TANDEM_DATABASE_URL="+asRelay(t, s.url))
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	require.NoErrorf(t, cmd.Run(), "%s: %s", arguments, problems.String())
	return out.String()
}

// aside is an element of "tandem parked list --json".
type aside struct {
	ID       string    `json:"id"`
	Topic    string    `json:"topic"`
	Key      string    `json:"key"`
	State    string    `json:"state"`
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	ParkedAt time.Time `json:"parked_at"`
}

func (s *shop) parked(t *testing.T, binary string, flags ...string) (all []aside) {
	t.Helper()
	out := s.tandem(t, binary, append([]string{"parked", "list", "--json"}, flags...)...)
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	return all
}

func (s *shop) awaitParked(t *testing.T, binary string, n int, flags ...string) (all []aside) {
	t.Helper()
	require.Eventually(t, func() bool {
		all = s.parked(t, binary, flags...)
		return len(all) == n
	}, time.Minute, 50*time.Millisecond)
	return all
}

// addTo adds events of a topic, each in a transaction of its own; their payloads
// begin with their numbers.
func (s *shop) addTo(t *testing.T, topic, key string, first int, sizes ...int) {
	t.Helper()
	for i, size := range sizes {
		_, err := s.pool.Exec(t.Context(), `SELECT tandem.add($1, rpad($2::int || ' ', $3, 'x'), $4)`, topic, first+i, size, key)
		require.NoError(t, err)
	}
}

// numbers returns what the first n records of a topic begin with, by key.
func (s *shop) numbers(t *testing.T, topic string, n int) map[string][]string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := map[string][]string{}
	for n > 0 {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			number, _, _ := strings.Cut(string(r.Value), " ")
			found[string(r.Key)] = append(found[string(r.Key)], number)
			n--
		})
	}
	return found
}

// A record that Kafka refuses is parked and holds its key, while others go on;
// redriven in vain it stays, redriven with the limit raised all follow in order;
// discarded it lets them pass.
func TestARefusedRecordThroughTheCommands(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	binary := program(t, "tandem")
	s.limitRecords(t, 5_000)
	s.startRelay(t, binary)
	s.addTo(t, s.topic, "k", 1, 100, 20_000, 100, 100)
	s.addTo(t, s.topic, "other", 1, 100, 100)
	all := s.awaitParked(t, binary, 3)
	require.Equal(t, "parked", all[0].State)
	require.Equal(t, s.topic, all[0].Topic)
	require.Equal(t, "k", all[0].Key)
	require.Equal(t, 1, all[0].Attempts)
	require.Contains(t, all[0].Reason, "Message Size Too Large")
	require.WithinDuration(t, time.Now(), all[0].ParkedAt, 5*time.Minute)
	require.Equal(t, []string{"held", "held"}, []string{all[1].State, all[2].State})
	require.Equal(t, map[string][]string{"k": {"1"}, "other": {"1", "2"}}, s.numbers(t, s.topic, 3))
	require.Contains(t, s.tandem(t, binary, "parked", "show", "--id", all[0].ID), "max.message.bytes")

	s.tandemFails(t, binary, "parked", "redrive", "--yes", "--wait", "--wait-timeout", "1m")
	require.Equal(t, 2, s.awaitParked(t, binary, 3)[0].Attempts)
	s.limitRecords(t, 1_000_000)
	s.tandem(t, binary, "parked", "redrive", "--topic", s.topic, "--yes", "--wait", "--wait-timeout", "1m")
	s.addTo(t, s.topic, "k", 5, 100)
	require.Equal(t, []string{"1", "2", "3", "4", "5"}, s.numbers(t, s.topic, 7)["k"])

	s.limitRecords(t, 5_000)
	s.addTo(t, s.topic, "k", 6, 20_000, 100)
	all = s.awaitParked(t, binary, 2)
	s.tandem(t, binary, "parked", "discard", "--id", all[0].ID, "--by", "ops", "--why", "test", "--yes")
	require.Equal(t, []string{"1", "2", "3", "4", "5", "7"}, s.numbers(t, s.topic, 8)["k"])
	s.awaitParked(t, binary, 0)
	require.Equal(t, 1, s.int(t, `SELECT count(*) FROM tandem.dropped WHERE kind = 'discarded' AND by = 'ops' AND why = 'test'`))
}

// tandemFails runs a command that ends with exit code 1.
func (s *shop) tandemFails(t *testing.T, binary string, arguments ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, arguments...)
	cmd.Env = append(testprograms.Environ(), "TANDEM_DATABASE_URL="+asRelay(t, s.url))
	out, _ := cmd.CombinedOutput()
	require.Equalf(t, 1, cmd.ProcessState.ExitCode(), "%s: %s", arguments, out)
}

// The limit of a topic is wrong: nothing is parked key by key, another topic goes
// on, and with the limit mended all follow in order.
func TestATopicWithAWrongLimitIsNotParkedKeyByKey(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	good := s.topic
	s.topic = createNamed(t, s.brokers, s.topic+"-small")
	binary := program(t, "tandem")
	s.limitRecords(t, 1_000)
	for n := range 100 {
		s.addTo(t, s.topic, fmt.Sprint("k", n%40), n, 5_000)
	}
	relay := s.startRelay(t, binary)
	s.addTo(t, good, "k", 1, 100)
	require.Equal(t, []string{"1"}, s.numbers(t, good, 1)["k"])
	s.awaitParked(t, binary, 100, "--state", "deferred")
	require.Empty(t, s.parked(t, binary))
	log, err := os.ReadFile(relay.log)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(log), "set aside until it can be written to"), "%s", log)
	require.NotContains(t, string(log), "an event is parked")

	s.limitRecords(t, 1_000_000)
	for key, numbers := range s.numbers(t, s.topic, 100) {
		for i := 1; i < len(numbers); i++ {
			require.Less(t, atoi(t, numbers[i-1]), atoi(t, numbers[i]), key)
		}
	}
	s.awaitParked(t, binary, 0, "--state", "all")
}

func atoi(t *testing.T, text string) (n int) {
	t.Helper()
	_, err := fmt.Sscan(text, &n)
	require.NoError(t, err)
	return n
}

func createNamed(t *testing.T, brokers []string, name string) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 3, 1, nil, name)
	require.NoError(t, err)
	return name
}

// A topic is missing: its events are set aside, another topic goes on, and once
// it is made they flow in order, within five seconds unless the machine is busy.
func TestAMissingTopicComesBack(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	binary := program(t, "tandem")
	s.startRelay(t, binary, "--topic-timeout", "500ms")
	best := time.Hour
	for attempt := 1; best > 5*time.Second && attempt <= 4; attempt++ {
		best = min(best, s.missingComesBack(t, binary, attempt))
	}
	require.Less(t, best, 5*time.Second, "it is not noticed in time")
}

// missingComesBack returns how long it took from the making of the topic on.
func (s *shop) missingComesBack(t *testing.T, binary string, attempt int) time.Duration {
	t.Helper()
	missing := fmt.Sprint(s.topic, "-missing-", attempt)
	s.addTo(t, missing, "k", 1, 100, 100, 100)
	s.addTo(t, s.topic, "k", attempt, 100)
	require.Equal(t, fmt.Sprint(attempt), s.numbers(t, s.topic, attempt)["k"][attempt-1])
	for _, event := range s.awaitParked(t, binary, 3, "--state", "deferred") {
		require.Contains(t, event.Reason, "Unknown Topic")
	}
	createNamed(t, s.brokers, missing)
	made := time.Now()
	s.addTo(t, missing, "k", 4, 100)
	require.Eventually(t, func() bool { return countRecords(t, s.brokers, missing) == 4 }, time.Minute, 20*time.Millisecond)
	took := time.Since(made)
	require.Equal(t, []string{"1", "2", "3", "4"}, s.numbers(t, missing, 4)["k"])
	s.awaitParked(t, binary, 0, "--state", "all")
	return took
}
