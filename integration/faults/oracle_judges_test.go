package faults_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/integration/faults"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// peaceful is a history with nothing wrong in it: three events of a key, the second
// of them repeated, an oversized one with one behind it, one that is sent at most
// once, one that was scheduled, and the effects of the three.
func peaceful() *history {
	h := &history{clock: true, parked: map[string]string{"big": "parked", "behind": "held"}, dropped: map[string]string{}, aside: map[string]string{}}
	due := noon.Add(time.Second)
	h.facts = []fact{
		{ID: "a", Op: 1, Topic: orders, Key: "k", Seq: 1, Kind: ordinary},
		{ID: "b", Op: 2, Topic: orders, Key: "k", Seq: 2, Kind: ordinary},
		{ID: "c", Op: 3, Topic: orders, Key: "k", Seq: 3, Kind: ordinary},
		{ID: "big", Op: 4, Topic: narrow, Key: "n", Seq: 1, Kind: oversized},
		{ID: "behind", Op: 5, Topic: narrow, Key: "n", Seq: 2, Kind: ordinary},
		{ID: "metric", Op: 6, Topic: metrics, Kind: once},
		{ID: "later", Op: 7, Topic: orders, Kind: scheduled, NotBefore: &due},
	}
	for i, id := range []string{"a", "b", "b", "c", "later"} {
		h.appear(id, 0, int64(i), noon.Add(time.Duration(i)*time.Second))
	}
	h.appear("metric", 0, 0, noon)
	for i, id := range []string{"a", "b", "c", "later"} {
		f := h.fact(id)
		h.effects = append(h.effects, effect{Applied: int64(i), ID: id, Topic: f.Topic, Key: f.Key, Seq: f.Seq, Receipt: "r" + id})
		h.facts = append(h.facts, fact{ID: "r" + id, Op: f.Op, Topic: receipts, Kind: receipt})
		h.appear("r"+id, 0, int64(i), noon)
	}
	for _, f := range h.facts[:7] {
		h.ops = append(h.ops, &op{id: f.Op, outcome: committed, drafts: []draft{{id: f.ID, kind: f.Kind}}})
	}
	return h
}

func (h *history) fact(id string) *fact {
	for i := range h.facts {
		if h.facts[i].ID == id {
			return &h.facts[i]
		}
	}
	return &fact{ID: id, Topic: orders}
}

func (h *history) appear(id string, partition int32, offset int64, at time.Time) {
	f := h.fact(id)
	h.appearances = append(h.appearances, appearance{id: id, topic: f.Topic, key: f.Key, partition: partition, offset: offset, at: at, since: at,
		payload: faults.Payload{Topic: f.Topic, Key: f.Key, Seq: f.Seq, Op: f.Op}})
}

// vanish takes the records of an event away.
func (h *history) vanish(id string) {
	var kept []appearance
	for _, a := range h.appearances {
		if a.id != id {
			kept = append(kept, a)
		}
	}
	h.appearances = kept
}

func TestAPeacefulHistoryIsNotJudged(t *testing.T) {
	t.Parallel()
	require.Empty(t, peaceful().judge())
}

// What is seen in another partition after an earlier event was offered proves nothing.
func TestTheOracleDoesNotGuess(t *testing.T) {
	t.Parallel()
	for _, since := range []time.Time{noon.Add(-2 * time.Second), {}} {
		h := peaceful()
		h.clock = false
		h.vanish("c")
		h.appear("c", 1, 0, noon.Add(-time.Second))
		for i := range h.appearances {
			if h.appearances[i].id == "b" {
				h.appearances[i].since = since
			}
		}
		require.Empty(t, h.judge())
	}
}

// Every check of the oracle's finds what it is there for.
func TestTheOracleFinds(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		spoil func(*history)
		says  string
	}{
		"an event that is lost":                {func(h *history) { h.vanish("c"); h.effects = h.effects[:2] }, "lost: ordinary event c"},
		"an event that was discarded":          {func(h *history) { h.vanish("c"); h.dropped["c"] = "discarded" }, `dropped: "discarded"`},
		"an event that expired without a time": {func(h *history) { h.vanish("c"); h.dropped["c"] = "expired" }, `dropped: "expired"`},
		"a receipt that is lost":               {func(h *history) { h.vanish("ra") }, "lost: receipt event ra"},
		"an uncommitted event":                 {func(h *history) { h.appear("ghost", 0, 9, noon) }, "uncommitted"},
		"another event's content":              {func(h *history) { h.appearances[0].payload.Seq = 7 }, "not as event a was written"},
		"another key":                          {func(h *history) { h.appearances[0].key = "other" }, "not as event a was written"},
		"an at-most-once event twice":          {func(h *history) { h.appear("metric", 0, 1, noon) }, "twice"},
		"an inversion in a partition":          {func(h *history) { h.appearances[0].offset, h.appearances[3].offset = 3, 0 }, "inversion"},
		"an inversion between partitions": {func(h *history) {
			h.vanish("c")
			h.appear("c", 1, 0, noon.Add(-time.Second))
		}, "inversion"},
		"an inversion between partitions without a clock": {func(h *history) {
			h.clock = false
			h.vanish("c")
			h.appear("c", 1, 0, noon.Add(-time.Second))
		}, "inversion"},
		"something overtakes what is parked": {func(h *history) { h.appear("behind", 0, 0, noon) }, "though big is parked before it"},
		"something small is parked":          {func(h *history) { h.parked["a"] = "parked" }, "ordinary event a"},
		"something comes early":              {func(h *history) { h.fact("later").NotBefore = new(noon.Add(time.Hour)) }, "early"},
		"an effect is doubled":               {func(h *history) { h.effects = append(h.effects, h.effects[0]) }, "doubled"},
		"an effect is missing":               {func(h *history) { h.effects = h.effects[1:] }, "lost: message a"},
		"an effect of nothing":               {func(h *history) { h.effects = append(h.effects, effect{ID: "ghost", Receipt: "ra"}) }, "is in no topic"},
		"an effect without a receipt":        {func(h *history) { h.effects[0].Receipt = "a" }, "has no receipt"},
		"a receipt without an effect":        {func(h *history) { h.fact("big").Kind = receipt }, "4 effects have 5 receipts"},
		"effects go backwards":               {func(h *history) { h.effects[0], h.effects[1] = h.effects[1], h.effects[0] }, "inversion: the effect"},
		"a message is parked for nothing":    {func(h *history) { h.aside["a"] = "parked" }, "though it can be handled"},
		"poison has an effect":               {func(h *history) { h.ops[0].drafts[0].poison = true }, "though its handler fails"},
		"a commit was forgotten":             {func(h *history) { h.ops[0].drafts[0].id = "forgotten" }, "the database has lost event forgotten"},
		"a rollback was not":                 {func(h *history) { h.ops[0].outcome = rolledBack }, "which was rolled back"},
		"a savepoint's rollback was not":     {func(h *history) { h.ops[0].drafts[0].undone = true }, "which was rolled back"},
		"an id twice":                        {func(h *history) { h.facts = append(h.facts, h.facts[0]) }, "12 facts have 11 ids"},
		"relays count too little":            {func(h *history) { h.counts = counts{relays: true, published: 7, parked: 1} }, "relays count 7 events as published"},
		"relays count too much":              {func(h *history) { h.counts = counts{relays: true, published: 11, parked: 1} }, "relays count 11 events as published"},
		"relays forget what they parked":     {func(h *history) { h.counts = counts{relays: true, published: 10} }, "relays count 0 events as parked"},
		"consumers count too much":           {func(h *history) { h.counts = counts{consumers: true, handled: 5} }, "consumers count 5"},
		"consumers count too little":         {func(h *history) { h.counts = counts{consumers: true, calm: true, handled: 3} }, "consumers count 3"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := peaceful()
			c.spoil(h)
			found := h.judge()
			require.NotEmpty(t, found)
			require.Contains(t, strings.Join(found, "\n"), c.says)
		})
	}
}
