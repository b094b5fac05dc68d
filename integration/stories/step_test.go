package stories_test

import (
	"strings"
	"sync"

	"github.com/tandem-outbox/tandem/internal/kafkaproxy"
	"github.com/tandem-outbox/tandem/internal/pgproxy"
)

// step is one of a consumer's protocol, as its requests show.
type step string

const (
	joining    step = "join"
	syncing    step = "sync"
	claiming   step = "claim"
	loading    step = "load what is aside"
	retrying   step = "read what is due"
	fetching   step = "fetch"
	beginning  step = "begin"
	recording  step = "record ids"
	handling   step = "handler"
	judging    step = "write verdicts"
	committing step = "commit"
	offsetting step = "commit offset"
	beating    step = "heartbeat"
	leaving    step = "leave"
	other      step = "other" // starting, looking for brokers, upkeep
)

// steps are those that have to be met, in the order of a consumer's life.
var steps = []step{
	joining, syncing, claiming, loading, fetching, beginning, recording, handling, judging, committing, offsetting, retrying, beating, leaving,
}

var kafkaSteps = map[kafkaproxy.Key]step{
	kafkaproxy.JoinGroup: joining, kafkaproxy.SyncGroup: syncing, kafkaproxy.Fetch: fetching,
	kafkaproxy.OffsetCommit: offsetting, kafkaproxy.Heartbeat: beating, kafkaproxy.LeaveGroup: leaving,
}

func stepOfKafka(k kafkaproxy.Key) step {
	if s, ok := kafkaSteps[k]; ok {
		return s
	}
	return other
}

// statementSteps are what statements have in them; the first that matches counts.
var statementSteps = []struct {
	text string
	step step
}{
	{"claim_inbox_partition", claiming},
	{"FOR KEY SHARE", recording},
	{"INSERT INTO tandem.inbox (", recording},
	{"last_value FROM tandem.inbox_floor", recording},
	{"AS locked", recording},
	{"INSERT INTO tandem.inbox_aside", judging},
	{"UPDATE tandem.inbox_aside", judging},
	{"DELETE FROM tandem.inbox_aside", judging},
	{"WHERE n = 1 OR bytes", retrying},
	{"tandem.inbox_aside", loading},
	{"SELECT epoch, changed", loading},
	{"public.", handling},
	{"tandem.log", handling},
}

// transactions tells the steps of statements, which for a COMMIT is a matter of
// what came before it on its connection.
type transactions struct {
	mu   sync.Mutex
	last map[int64]step
}

func (t *transactions) step(s pgproxy.Statement) step {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := other
	switch text := strings.ToLower(strings.TrimSpace(s.SQL)); {
	case strings.HasPrefix(text, "begin"):
		found = beginning
	case text == "commit":
		switch found = t.last[s.Connection]; found {
		case recording, handling, judging:
			return committing
		}
		return found
	case strings.HasPrefix(text, "rollback"):
		return other
	default:
		for _, candidate := range statementSteps {
			if strings.Contains(s.SQL, candidate.text) {
				found = candidate.step
				break
			}
		}
	}
	if found != other { // a savepoint
		t.last[s.Connection] = found
	}
	return found
}
