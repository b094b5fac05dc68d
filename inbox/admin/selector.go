package admin

import "github.com/tandem-outbox/tandem/inbox/internal/ids"

// Selector says which of the messages that are set aside are meant: those that
// match every field that is set. The zero Selector is all of them.
type Selector struct {
	// Aside are messages by the number they were set aside under, which is theirs
	// alone and in the order of their lane.
	Aside     []int64
	Consumers []string
	// IDs are the ids that the inbox deduplicates by. Several consumers may each
	// have set a message of one id aside.
	IDs       []string
	Topics    []string
	Partition *int32
	Offset    *int64
	Keys      [][]byte
	Reason    string // a part of the reason or of the error, in any case

	// States, for List and Count; default to all of them.
	States []State
	// Limit bounds what List returns; 0 means no limit.
	Limit int
}

// State is why a message is set aside.
type State string

// The states, as in tandem.inbox_aside.
const (
	Parked   State = "parked"   // it could not be handled; an operator decides
	Retrying State = "retrying" // it could not be handled; tried again by itself
	Held     State = "held"     // behind the first of its lane
)

// States are all of them.
func States() []State { return []State{Parked, Retrying, Held} }

// Empty tells whether the selector leaves nothing out.
func (s Selector) Empty() bool {
	return len(s.Aside) == 0 && len(s.Consumers) == 0 && len(s.IDs) == 0 && len(s.Topics) == 0 &&
		s.Partition == nil && s.Offset == nil && len(s.Keys) == 0 && s.Reason == "" && len(s.States) == 0
}

// arguments are $1 to $9 of every statement that selects.
func (s Selector) arguments(more ...any) []any {
	var messages, states []string
	for _, id := range s.IDs {
		messages = append(messages, ids.Parse(id).Text)
	}
	for _, state := range s.States {
		states = append(states, string(state))
	}
	return append([]any{orNull(s.Aside), orNull(s.Consumers), messages, orNull(s.Topics), s.Partition, s.Offset,
		orNull(s.Keys), s.Reason, states}, more...)
}

// orNull: an empty list selects nothing less than none does.
func orNull[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}
