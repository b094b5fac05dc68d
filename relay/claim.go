package relay

import (
	"context"
	"slices"
	"strconv"
	"sync"
)

// An at-most-once event is claimed before it is sent: the save that says so is
// on disk first, and a restart skips what was claimed, and only that. A claim has
// the checkpoint's shape, a cursor ahead of it, because positions are not the
// order of commits: what the reader has read up to the end of the event's page.
//
// A term reads again from the checkpoint on, in windows cut differently, so its
// own claims do not contain those of the terms before: these are carried along
// until the checkpoint has come to a snapshot of this term, which sees all that
// theirs saw. Within a term each claim contains the one before.
type claims struct {
	earlier []string // of other terms
	wake    chan struct{}

	mu      sync.Mutex
	own     string
	waiting []*item // to be sent once next is saved
	next    string
}

// claimText is a claim as tandem.claimed reads it.
func claimText(at checkpoint) string {
	return at.prev + "/" + at.cur + "/" + strconv.FormatInt(at.done, 10)
}

// claim has events sent once it is saved that everything up to read may have been.
func (c *claims) claim(items []*item, read checkpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, items...)
	c.next = claimText(read)
	notify(c.wake)
}

// saved is what goes into a save of the checkpoint at; nil where nothing is claimed.
func (c *claims) saved(at checkpoint) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	if !at.own {
		all = slices.Clone(c.earlier)
	}
	if c.own != "" {
		all = append(all, c.own)
	}
	return all
}

// take returns what waits, for the keeper to save its claim and then send it.
func (c *claims) take() []*item {
	c.mu.Lock()
	defer c.mu.Unlock()
	items := c.waiting
	c.waiting = nil
	if c.next != "" {
		c.own = c.next
	}
	return items
}

// claimed saves the claim of what waits, and sends it.
func (k *keeper) claimed(ctx context.Context) error {
	items := k.claims.take()
	if err := k.commit(ctx); err != nil {
		return err
	}
	k.dispatch(items)
	return nil
}
