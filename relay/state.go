package relay

// State is what a Relay is doing at the moment.
type State int32

const (
	// Starting means that database and broker are being checked or waited for.
	Starting State = iota
	// Standby means that all is well here, and another relay holds the lease.
	Standby
	// Relaying means that this relay holds the lease.
	Relaying
	// Interrupted means that the database, or the lease, was lost after the start
	// and is being reached for again.
	Interrupted
	// Stopped means that Run has returned.
	Stopped
)

func (s State) String() string {
	switch s {
	case Starting:
		return "starting"
	case Standby:
		return "standby"
	case Relaying:
		return "relaying"
	case Interrupted:
		return "interrupted"
	case Stopped:
		return "stopped"
	}
	return "unknown"
}

// State may be called at any time.
func (r *Relay) State() State { return State(r.state.Load()) }

func (r *Relay) become(s State) { r.state.Store(int32(s)) }
