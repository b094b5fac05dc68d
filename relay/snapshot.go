package relay

import (
	"fmt"
	"strconv"
	"strings"
)

// snapshotXmax returns the xmax of a pg_snapshot's text form, xmin:xmax:xip,….
// Transactions at or after it had not ended when the snapshot was taken.
func snapshotXmax(text string) (uint64, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return 0, fmt.Errorf("%q is not a pg_snapshot", text)
	}
	xmax, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a pg_snapshot: %w", text, err)
	}
	return xmax, nil
}

// An anchor bounds positions from below: every transaction with an id greater
// than tx draws its positions above position, because the sequence stood there
// before tx was handed out. Each save of the checkpoint makes one.
type anchor struct {
	tx       uint64
	position int64
}

// anchors are the last few, oldest first.
type anchors []anchor

// add appends a. Of many it keeps the newest and thins the older, so that one
// of about the right age is there for any snapshot still in use.
func (as anchors) add(a anchor) anchors {
	const most = 64
	if len(as) < most {
		return append(as, a)
	}
	for i := 0; i < most/2; i++ {
		as[i] = as[2*i]
	}
	return append(as[:most/2], a)
}

// below returns a position that no event of a transaction at or after xmax is
// at or below.
func (as anchors) below(xmax uint64) int64 {
	for i := len(as) - 1; i >= 0; i-- {
		if as[i].tx < xmax {
			return as[i].position
		}
	}
	return 0
}
