package relay

// count enters a page in the tracker's books.
func (r *reader) count(p *page) *page {
	r.stats.read.Add(int64(len(p.items)))
	if small := p.fit(); small != p {
		r.tracker.giveBack(p)
		p = small
	}
	r.noteRead(p)
	r.tracker.push(p)
	return p
}

// handOn gives a page's events to the lanes. Of a large window that is done while
// the next page is read, by a goroutine of its own.
func (r *reader) handOn(p *page) {
	after, items := p.after, p.items // p may be read into again once all is done
	refs := p.refs[:0]
	var others []*item
	for i := range items {
		if it := &items[i]; it.scheduled || it.once != atLeastOnce {
			others = append(others, it)
		} else {
			refs = append(refs, it)
		}
	}
	p.refs = refs
	r.dispatch(refs)
	if len(others) > 0 {
		r.handOthers(others, after)
	}
}

// handOthers sees to the events that do not go straight to the lanes.
func (r *reader) handOthers(items []*item, read checkpoint) {
	var skipped, once, scheduled []*item
	for _, it := range items {
		switch {
		case it.once == claimed:
			skipped = append(skipped, it)
		case it.scheduled:
			it.unordered = true
			scheduled = append(scheduled, it)
		default:
			once = append(once, it)
		}
	}
	if len(skipped) > 0 {
		r.stats.skipped.Add(int64(len(skipped)))
		r.log.Info("skipping at-most-once events that may have been sent before a restart", "events", len(skipped))
		r.done(skipped)
	}
	if len(scheduled) > 0 {
		r.stats.scheduled.Add(int64(len(scheduled)))
		r.setAside(scheduled, asideEntry{State: stateScheduled})
	}
	if len(once) > 0 {
		r.claims.claim(once, read)
	}
}
