// Package facts is what a relay says of itself in tandem.relay.facts, and what
// tandem status reads there.
package facts

import "time"

// Facts are written with every beat.
type Facts struct {
	// BeatSeconds is how long until the next beat, if all is well.
	BeatSeconds float64 `json:"beat_seconds"`
	// Stats are the counters of relay.Stats, since the process began.
	Stats map[string]int64 `json:"stats"`
	// Term is of the working relay alone.
	Term *Term `json:"term,omitempty"`
}

// Term is what the working relay knows and the database does not.
type Term struct {
	// Read is how far the log is read, as a checkpoint is: what it does not
	// cover waits to be read.
	Read Cursor `json:"read"`
	// The greatest position read; the one below which everything that was read
	// is acknowledged or set aside; the same as saved. For people: lags are
	// counted by Read and by the saved checkpoint.
	ReadPosition         int64 `json:"read_position"`
	AcknowledgedPosition int64 `json:"acknowledged_position"`
	SavedPosition        int64 `json:"saved_position"`
	// What is read and neither acknowledged nor set aside; when its oldest was
	// written.
	InFlight       int64      `json:"in_flight"`
	InFlightBytes  int64      `json:"in_flight_bytes"`
	InFlightOldest *time.Time `json:"in_flight_oldest,omitempty"`
	Topics         []Topic    `json:"topics,omitempty"`
	// What of the limits of the backlog is passed.
	Warnings []string `json:"warnings,omitempty"`
	// Until the log's disk is full at the present rate; 0 where it is not known,
	// or does not grow.
	DiskFullSeconds float64 `json:"disk_full_seconds,omitempty"`
}

// Cursor has the shape of a checkpoint.
type Cursor struct {
	Prev string `json:"prev"`
	Low  int64  `json:"low"`
	Cur  string `json:"cur,omitempty"`
	Done int64  `json:"done,omitempty"`
	High int64  `json:"high,omitempty"`
}

// Topic is a topic of the present term.
type Topic struct {
	Topic      string     `json:"topic"`
	Partitions int        `json:"partitions"`
	Published  int64      `json:"published"`
	Waiting    int        `json:"waiting"`
	Trouble    string     `json:"trouble,omitempty"`
	Since      *time.Time `json:"since,omitempty"`
	SetAside   bool       `json:"set_aside,omitempty"`
}
