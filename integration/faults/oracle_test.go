package faults_test

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// judge says what is wrong, one sentence for each thing.
func (h *history) judge() (wrong []string) {
	x := h.index()
	for _, check := range []func(*index) []string{
		h.journalAgrees, h.nothingUncommitted, h.nothingLost, h.atMostOnce, h.orderOfKeys, h.heldStaysBehind, h.parkedRightly,
		h.notBefore, h.effectsOnce, h.orderOfEffects, h.countsAgree,
	} {
		wrong = append(wrong, check(x)...)
	}
	return wrong
}

// index finds things by their ids.
type index struct {
	facts   map[string]fact
	records map[string][]appearance // of an id, in order of their times
	effects map[string][]effect
}

func (h *history) index() *index {
	x := &index{map[string]fact{}, map[string][]appearance{}, map[string][]effect{}}
	for _, f := range h.facts {
		x.facts[f.ID] = f
	}
	for _, a := range h.appearances {
		x.records[a.id] = append(x.records[a.id], a)
	}
	for _, all := range x.records {
		slices.SortFunc(all, func(a, b appearance) int {
			if a.partition == b.partition {
				return cmp.Compare(a.offset, b.offset)
			}
			return a.at.Compare(b.at)
		})
	}
	for _, e := range h.effects {
		x.effects[e.ID] = append(x.effects[e.ID], e)
	}
	return x
}

// journalAgrees: the database has what writers were told is committed, and nothing
// of what they rolled back. What did not wait for the disk may be gone.
func (h *history) journalAgrees(x *index) (wrong []string) {
	for _, o := range h.ops {
		for _, d := range o.drafts {
			_, there := x.facts[d.id]
			switch {
			case there && (o.outcome == rolledBack || d.undone):
				wrong = append(wrong, fmt.Sprintf("the database has event %s, which was rolled back: %s", d.id, o))
			case !there && o.outcome == committed && !d.undone && !o.async:
				wrong = append(wrong, fmt.Sprintf("the database has lost event %s: %s", d.id, o))
			}
		}
	}
	if len(x.facts) != len(h.facts) {
		wrong = append(wrong, fmt.Sprintf("%d facts have %d ids", len(h.facts), len(x.facts)))
	}
	return wrong
}

// nothingUncommitted: every record is an event that was committed, as it was.
func (h *history) nothingUncommitted(x *index) (wrong []string) {
	for _, a := range h.appearances {
		f, there := x.facts[a.id]
		p := a.payload
		switch {
		case !there:
			wrong = append(wrong, fmt.Sprintf("uncommitted: record %s/%d/%d has event %s of op %d, which was not committed", a.topic, a.partition, a.offset, a.id, p.Op))
		case f.Topic != a.topic || f.Key != a.key || f.Topic != p.Topic || f.Seq != p.Seq || f.Op != p.Op:
			wrong = append(wrong, fmt.Sprintf("record %s/%d/%d is not as event %s was written: %+v, not %+v", a.topic, a.partition, a.offset, a.id, p, f))
		}
	}
	return wrong
}

// nothingLost: every event that was committed is in its topic, or parked or held,
// or has expired. What a topic had that was deleted is gone with it.
func (h *history) nothingLost(x *index) (wrong []string) {
	for _, f := range h.facts {
		dropped := h.dropped[f.ID]
		switch {
		case f.Kind == once, len(x.records[f.ID]) > 0, h.parked[f.ID] != "", f.Topic == doomed && !f.At.After(h.remade):
		case dropped == "expired" && f.Expire != nil:
		default:
			wrong = append(wrong, fmt.Sprintf("lost: %s event %s (%s/%s/%d, op %d) is nowhere; dropped: %q", f.Kind, f.ID, f.Topic, f.Key, f.Seq, f.Op, dropped))
		}
	}
	return wrong
}

func (h *history) atMostOnce(x *index) (wrong []string) {
	for _, f := range h.facts {
		if n := len(x.records[f.ID]); f.Kind == once && n > 1 {
			wrong = append(wrong, fmt.Sprintf("twice: at-most-once event %s (op %d) is there %d times: %s", f.ID, f.Op, n, places(x.records[f.ID])))
		}
	}
	return wrong
}

func places(all []appearance) (text string) {
	for _, a := range all {
		text += fmt.Sprintf(" %d/%d at %s", a.partition, a.offset, a.at.Format(timeFormat))
	}
	return text
}

// byKey are the facts of each key that has an order, in that order.
func (h *history) byKey() map[[2]string][]fact {
	keys := map[[2]string][]fact{}
	for _, f := range h.facts {
		if f.ordered() {
			k := [2]string{f.Topic, f.Key}
			keys[k] = append(keys[k], f)
		}
	}
	for _, all := range keys {
		slices.SortFunc(all, func(a, b fact) int { return cmp.Compare(a.Seq, b.Seq) })
	}
	return keys
}

// orderOfKeys: the first appearances of a key's events are in the order in which
// their writers were serialised. A topic that was made anew has no first ones.
func (h *history) orderOfKeys(x *index) (wrong []string) {
	for key, all := range h.byKey() {
		if key[0] == doomed && !h.remade.IsZero() {
			continue
		}
		var last []appearance
		for _, f := range all {
			records := x.records[f.ID]
			if len(records) == 0 {
				continue
			}
			if last != nil && h.before(records, last) {
				l := last[0]
				wrong = append(wrong, fmt.Sprintf("inversion: %s/%s: event %d (%s, op %d, at%s) is before %d (%s, op %d, at%s)", key[0], key[1],
					f.Seq, f.ID, f.Op, places(records), l.payload.Seq, l.id, l.payload.Op, places(last)))
			}
			last = records
		}
	}
	return wrong
}

// before tells whether an event has certainly appeared before another one. Between
// partitions that is a matter of the brokers' clock, which tells milliseconds. Of
// fake ones, which have none, it is one of what the run has seen: the one in its
// topic, before the other one was even offered.
func (h *history) before(a, b []appearance) bool {
	if a[0].partition == b[0].partition && (h.clock || !scattered(a) && !scattered(b)) {
		return a[0].offset < b[0].offset
	}
	return !a[0].at.IsZero() && a[0].at.Before(b[0].since)
}

// scattered records are in more than one partition: which of them was the first
// only a clock can tell.
func scattered(records []appearance) bool {
	return slices.ContainsFunc(records, func(a appearance) bool { return a.partition != records[0].partition })
}

// heldStaysBehind: nothing of a key is published that comes behind a parked event.
func (h *history) heldStaysBehind(x *index) (wrong []string) {
	for key, all := range h.byKey() {
		parked := ""
		for _, f := range all {
			if parked == "" && h.parked[f.ID] == "parked" {
				parked = f.ID
			}
			if parked != "" && len(x.records[f.ID]) > 0 && f.ID != parked {
				wrong = append(wrong, fmt.Sprintf("inversion: %s/%s: event %d (%s, op %d) is published, though %s is parked before it", key[0], key[1], f.Seq, f.ID, f.Op, parked))
			}
		}
	}
	return wrong
}

// parkedRightly: only what the topic does not take is parked, and only what is
// behind such a thing is held; consumers park only what no attempt can handle.
func (h *history) parkedRightly(x *index) (wrong []string) {
	for id, state := range h.parked {
		f := x.facts[id]
		if state == "parked" && f.Kind != oversized {
			wrong = append(wrong, fmt.Sprintf("%s event %s (%s/%s/%d, op %d) is parked", f.Kind, id, f.Topic, f.Key, f.Seq, f.Op))
		}
	}
	poison := map[string]bool{}
	for _, o := range h.ops {
		for _, d := range o.drafts {
			poison[d.id] = d.poison
		}
	}
	for id, state := range h.aside {
		if state == "parked" && !poison[id] {
			wrong = append(wrong, fmt.Sprintf("message %s (op %d) is parked, though it can be handled", id, x.facts[id].Op))
		}
	}
	for id := range poison {
		if poison[id] && len(x.effects[id]) > 0 {
			wrong = append(wrong, fmt.Sprintf("message %s (op %d) has an effect, though its handler fails", id, x.facts[id].Op))
		}
	}
	return wrong
}

// notBefore: a scheduled event comes no earlier than its time. All clocks are one
// machine's; a broker's tells milliseconds.
func (h *history) notBefore(x *index) (wrong []string) {
	for _, f := range h.facts {
		if f.NotBefore == nil {
			continue
		}
		for _, a := range x.records[f.ID] {
			if a.at.Before(f.NotBefore.Truncate(time.Millisecond)) {
				wrong = append(wrong, fmt.Sprintf("early: event %s (op %d), due at %s, came at %s", f.ID, f.Op, f.NotBefore.Format(timeFormat), a.at.Format(timeFormat)))
			}
		}
	}
	return wrong
}

// effectsOnce: every message was handled once, or is set aside; nothing else was.
func (h *history) effectsOnce(x *index) (wrong []string) {
	for id, all := range x.effects {
		if len(all) > 1 {
			wrong = append(wrong, fmt.Sprintf("doubled: message %s (op %d) has %d effects: %+v", id, x.facts[id].Op, len(all), all))
		}
		if len(x.records[id]) == 0 {
			wrong = append(wrong, fmt.Sprintf("message %s has an effect, and is in no topic", id))
		}
		for _, e := range all {
			if f := x.facts[e.Receipt]; f.Kind != receipt {
				wrong = append(wrong, fmt.Sprintf("the effect of message %s has no receipt", id))
			}
		}
	}
	sent := 0
	for _, f := range h.facts {
		if f.Kind == receipt {
			sent++
		}
		if slices.Contains(consumed, f.Topic) && len(x.records[f.ID]) > 0 && len(x.effects[f.ID]) == 0 && h.aside[f.ID] == "" {
			wrong = append(wrong, fmt.Sprintf("lost: message %s (%s/%s/%d, op %d) has no effect: %s", f.ID, f.Topic, f.Key, f.Seq, f.Op, places(x.records[f.ID])))
		}
	}
	if sent != len(h.effects) {
		wrong = append(wrong, fmt.Sprintf("%d effects have %d receipts", len(h.effects), sent))
	}
	return wrong
}

// orderOfEffects: what was applied of a key does not go backwards, within a
// partition: keys move when there is another one, and consumers do not wait then.
func (h *history) orderOfEffects(x *index) (wrong []string) {
	type place struct {
		topic, key string
		partition  int32
	}
	last := map[place]effect{}
	for _, e := range h.effects {
		if !x.facts[e.ID].ordered() {
			continue
		}
		p := place{e.Topic, e.Key, e.Part}
		if l, there := last[p]; there && l.Seq > e.Seq {
			wrong = append(wrong, fmt.Sprintf("inversion: the effect of %s/%s/%d (%s) came after that of %d (%s)", e.Topic, e.Key, e.Seq, e.ID, l.Seq, l.ID))
		}
		last[p] = e
	}
	return wrong
}
