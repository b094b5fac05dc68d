package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
)

// counts are what processes say of themselves, where none was ended on the way.
type counts struct {
	relays, consumers bool // they are known
	calm              bool // no answer of the database's was lost
	published, parked float64
	handled           int64
	duplicates        int64 // among them what was committed though nobody knew: a drain that was cut short
}

// scrape asks the relays, while they still run.
func (r *run) scrape(ctx context.Context) (c counts) {
	c.relays = !slices.ContainsFunc(r.relays, func(p *process) bool { return p.restarted })
	if !c.relays {
		return c
	}
	for _, p := range r.relays {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+"/metrics", nil)
		if err != nil {
			r.fail("%v", err)
			return c
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			r.fail("scrape %s: %v", p.name, err)
			return c
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(response.Body)
		_ = response.Body.Close()
		if err != nil {
			r.fail("scrape %s: %v", p.name, err)
			return c
		}
		for name, to := range map[string]*float64{"tandem_relay_events_published_total": &c.published, "tandem_relay_events_parked_total": &c.parked} {
			for _, m := range families[name].GetMetric() {
				*to += m.GetCounter().GetValue()
			}
		}
	}
	return c
}

// counted adds what consumers said at their end.
func (r *run) counted(c *counts) {
	c.consumers = !slices.ContainsFunc(r.consumers, func(p *process) bool { return p.restarted })
	if !c.consumers {
		return
	}
	c.calm = r.plan.calm
	for _, p := range r.consumers {
		var s inboxkafka.Stats
		if err := json.Unmarshal(p.stdout.Bytes(), &s); err != nil {
			r.fail("%s has not said what it has counted: %v", p.name, err)
			continue
		}
		c.handled += s.Handled
		c.duplicates += s.Duplicates
	}
}

// countsAgree: what was counted is what there is, but for what a process cannot
// know: an answer that was lost. Such a request counts when it is repeated.
func (h *history) countsAgree(x *index) (wrong []string) {
	c := h.counts
	if c.relays {
		least, parked := 0, 0
		for id := range x.records {
			if x.facts[id].Kind != once {
				least++
			}
		}
		for _, state := range h.parked {
			if state == "parked" {
				parked++
			}
		}
		if int(c.published) < least || int(c.published) > len(h.appearances) && h.remade.IsZero() {
			wrong = append(wrong, fmt.Sprintf("relays count %.0f events as published; the topics have %d events, in %d records", c.published, least, len(h.appearances)))
		}
		if int(c.parked) < parked {
			wrong = append(wrong, fmt.Sprintf("relays count %.0f events as parked, and %d are", c.parked, parked))
		}
	}
	if effects := int64(len(h.effects)); c.consumers && (c.handled > effects || c.calm && c.handled+c.duplicates < effects) {
		wrong = append(wrong, fmt.Sprintf("consumers count %d messages as handled; there are %d effects", c.handled, effects))
	}
	return wrong
}
