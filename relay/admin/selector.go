package admin

import "github.com/google/uuid"

// Selector says which of the events that are set aside are meant: those that
// match every field that is set. The zero Selector is all of them.
type Selector struct {
	IDs    []uuid.UUID
	Topics []string
	Keys   []string
	Reason string // a part of the reason, in any case

	// States, for List and Count; default to Parked and Held.
	States []State
	// Limit bounds what List returns; 0 means no limit.
	Limit int
}

// State is why an event is set aside.
type State string

// The states, as tandem.parked shows them.
const (
	Parked    State = "parked"    // the broker will not take it; an operator decides
	Held      State = "held"      // behind a parked event of its key
	Deferred  State = "deferred"  // waits for its topic, and goes on by itself
	Scheduled State = "scheduled" // waits for its time, and goes on by itself
)

// States are all of them.
func States() []State { return []State{Parked, Held, Deferred, Scheduled} }

// Empty tells whether the selector leaves nothing out.
func (s Selector) Empty() bool {
	return len(s.IDs) == 0 && len(s.Topics) == 0 && len(s.Keys) == 0 && s.Reason == ""
}

// arguments are $1 to $4 of every statement that selects.
func (s Selector) arguments(more ...any) []any {
	return append([]any{orNull(s.IDs), orNull(s.Topics), orNull(s.Keys), s.Reason}, more...)
}

func (s Selector) states() []string {
	states := s.States
	if len(states) == 0 {
		states = []State{Parked, Held}
	}
	names := make([]string, 0, len(states))
	for _, state := range states {
		names = append(names, string(state))
	}
	return names
}

// orNull: an empty list selects nothing less than none does.
func orNull[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}
