package rivals

import (
	"context"
	"os/exec"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/bench"
	"github.com/tandem-outbox/tandem/outbox"
)

// Partitions is how many the topic of a measurement has.
const Partitions = 6

// PayloadBytes is the size of every payload.
const PayloadBytes = 200

const (
	eventType = "order.placed"
	source    = "/tandem/bench"
)

// Site is where one measurement is made: a fresh database and a fresh topic.
type Site struct {
	DatabaseURL string   `json:"database_url"`
	Brokers     []string `json:"brokers"`
	Topic       string   `json:"topic"`
	// Events is how many are to be published; then the process may end. With 0 it
	// publishes until it is stopped, and is set up for latency.
	Events int `json:"events"`
	// Dir is for the process's files.
	Dir string `json:"dir"`
	// Tandem is the built program.
	Tandem string `json:"tandem"`
}

// steady tells whether the site is for a measurement of latency.
func (s Site) steady() bool { return s.Events == 0 }

// System is one way of events into Kafka.
type System struct {
	Name string

	// Memory is of one that has its events in memory. Such a process says a line on
	// its standard output when they are ready and it begins.
	Memory bool
	// Ends tells that the process ends when it has published Site.Events.
	Ends bool
	// Setup makes tables in the empty database; Write adds events to them, in the
	// order of their numbers. Both are nil for one from memory.
	Setup func(context.Context, *pgx.Conn, Site) error
	Write func(context.Context, pgx.Tx, Site, []Event) error
	// Unlimited is the statement that lifts the system's own limit on the size of an
	// event, if it has one.
	Unlimited string
	// Command is the process that publishes.
	Command func(context.Context, Site) (*exec.Cmd, error)
	// child is what that process does where it is this program once more.
	child func(context.Context, Site) error
}

// Event is one of the numbered events, with what every system stores of it.
type Event struct {
	ID      string
	Key     string
	Payload []byte
	At      time.Time
}

// EventOf makes the event of a number.
func EventOf(n int) Event {
	return Event{ID: outbox.NewID(), Key: bench.Key(n), Payload: bench.Payload(n, PayloadBytes), At: time.Now()}
}

// Systems are all there are, in the order in which a round takes them.
func Systems() []System {
	systems := []System{kafkaGo, franzGo, tandem, polling, marking, watermillTuned, watermillDocumented, debezium}
	for i := range systems {
		if systems[i].child != nil {
			systems[i].Command = again(systems[i].Name)
		}
	}
	return systems
}
