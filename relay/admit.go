package relay

// admit takes those events out of a batch that may not be sent, and returns the
// rest, in place. It is the last look before each request, so that an event that
// is refused holds its key for those behind it in the same batch.
func (l *lane) admit(batch []*item) []*item {
	if !l.special.Load() && !expiring(batch) {
		return batch
	}
	now := l.databaseTime().UnixMicro()
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	var expired, behind, aside []*item
	admitted := batch[:0]
	for _, it := range batch {
		switch {
		case it.expires != 0 && it.expires <= now && it.Replay == 0:
			expired = append(expired, it)
		case it.from == nil && (l.aside || l.stuck), it.from != nil && l.barred(it):
			aside = append(aside, it)
		case it.from == nil && l.follows(it):
			l.followers = append(l.followers, it)
		case it.from == nil && l.behind(it):
			behind = append(behind, it)
		default:
			admitted = append(admitted, it)
		}
	}
	l.expire(expired)
	l.stats.held.Add(int64(len(behind)))
	l.setAside(behind, asideEntry{State: stateWaiting})
	if l.aside && !l.failed {
		l.keepAside(aside, nil)
	} else {
		l.keepAside(aside, l)
	}
	l.leave(len(expired) + len(behind) + len(aside))
	return admitted
}

func expiring(batch []*item) bool {
	for _, it := range batch {
		if it.expires != 0 {
			return true
		}
	}
	return false
}

// behind tells whether the event's key is held.
func (tp *topic) behind(it *item) bool {
	key, ok := it.key()
	if !ok {
		return false
	}
	_, held := tp.held[key]
	return held
}

// barred tells whether a stored event has to stay where it is: what fetched it
// has failed, or its key was refused once more.
func (l *lane) barred(it *item) bool {
	f, ok := it.from.(*flow)
	if !ok {
		return l.aside || l.stuck
	}
	if f.failed || l.failed {
		return true
	}
	key, ok := it.key()
	if !ok {
		return false
	}
	_, again := l.again[key]
	return again
}

// expire drops events whose time has passed, and lists them.
func (tp *topic) expire(items []*item) {
	if len(items) == 0 {
		return
	}
	tp.stats.expired.Add(int64(len(items)))
	tp.setAside(items, asideEntry{State: stateExpired, Reason: "not sent before it expired"})
}
