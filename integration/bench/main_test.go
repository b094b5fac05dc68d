package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/integration/bench/report"
	"github.com/tandem-outbox/tandem/integration/bench/rivals"
	"github.com/tandem-outbox/tandem/internal/bench"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) {
	rivals.Child()
	testservers.Main(m)
}

// What all of them need takes longer than most of them: a program and servers.
func TestSystems(t *testing.T) {
	tandem, err := buildTandem(t.Context(), t.TempDir())
	require.NoError(t, err)
	s, err := startServers(t.Context(), tandem, testservers.Postgres(t), strings.Join(testservers.Kafka(t), ","), "")
	require.NoError(t, err)
	t.Cleanup(s.stop)
	for name, test := range map[string]func(*testing.T, *run){
		"every one publishes its backlog":        everyOnePublishesItsBacklog,
		"a steady load arrives":                  aSteadyLoadArrives,
		"a transaction stays open":               aTransactionStaysOpen,
		"a refused record stands alone":          aRefusedRecordStandsAlone,
		"a process that ends early is a failure": anEarlyEndIsAFailure,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := *s // one of the tests changes it
			test(t, &run{servers: &own, meter: newMeter(s), progress: t.Output(), file: filepath.Join(t.TempDir(), "results.json")})
		})
	}
}

// smoke is every system but Debezium, whose Java takes longer to start than all of
// them together, and which needs a server with wal_level=logical.
var smoke = []string{report.KafkaGo, report.FranzGo, report.Tandem, report.SkipLocked, report.MarkPurge, report.WatermillTuned, report.Watermill}

// What is asserted is that everything arrived, never how fast.
func everyOnePublishesItsBacklog(t *testing.T, r *run) {
	const events = 2000
	var progress bytes.Buffer
	r.progress = &progress
	p := plan{rounds: 1, events: events, long: 2 * events, systems: smoke, measures: []string{measureDrain, measureHeld, measureLong}}
	require.NoError(t, r.all(t.Context(), p.tasks(), p.rounds), "%s", &progress)

	kept, err := report.Read(r.file)
	require.NoError(t, err)
	require.Len(t, kept.Results, len(smoke)+3) // Tandem and SKIP LOCKED once more, and the long one
	for _, result := range kept.Results {
		require.Equal(t, &bench.Audit{Expected: result.Events}, result.Audit, "%s, %s", result.System, result.Case)
		require.Positive(t, result.Rate)
		require.Len(t, result.Rates, 10)
	}
	require.Equal(t, len(kept.Results), strings.Count(progress.String(), "CPU s/M"), "%s", &progress)
}

func aSteadyLoadArrives(t *testing.T, r *run) {
	l := load{rate: 200, warmUp: 500 * time.Millisecond, lasting: 2 * time.Second}
	for _, system := range rivals.Systems() {
		switch system.Name {
		case report.Tandem, report.SkipLocked, report.WatermillTuned:
			result, err := r.steady(t.Context(), system, l)
			require.NoError(t, err)
			require.Equal(t, &bench.Audit{Expected: 501}, result.Audit, system.Name)
			require.EqualValues(t, 400, result.Latency["received"].Count, system.Name)
		}
	}
}

// A transaction that stays open stops nothing but its own event.
func aTransactionStaysOpen(t *testing.T, r *run) {
	l := load{rate: 100, lasting: openAfter + 2*time.Second, open: time.Second}
	result, err := r.steady(t.Context(), rivals.Systems()[2], l)
	require.NoError(t, err)
	require.Equal(t, report.Tandem, result.System)
	require.Equal(t, &bench.Audit{Expected: 501}, result.Audit)
}

// A record that the broker refuses takes none of the others with it.
func aRefusedRecordStandsAlone(t *testing.T, r *run) {
	result, err := r.oversized(t.Context(), rivals.Systems()[2], 200)
	require.NoError(t, err)
	require.Equal(t, report.Tandem, result.System)
	require.Equal(t, report.GoesOn, result.Note)
	require.Equal(t, &bench.Audit{Expected: 200}, result.Audit)
}

// A process that ends before its work is done is a failure and no figure.
func anEarlyEndIsAFailure(t *testing.T, r *run) {
	var progress bytes.Buffer
	r.progress = &progress
	r.servers.tandem = filepath.Join(t.TempDir(), "tandem")
	require.NoError(t, os.WriteFile(r.servers.tandem, []byte("#!/bin/sh\necho no relay today >&2\nexit 3\n"), 0o755))
	p := plan{rounds: 1, events: 100, systems: []string{report.Tandem}, measures: []string{measureDrain}}
	require.ErrorContains(t, r.all(t.Context(), p.tasks(), p.rounds), report.Tandem)
	require.Contains(t, progress.String(), "no relay today")
	require.Empty(t, r.report.Results)
}

// What a slow system is spared, no other one is.
func TestAPlanSparesSlowSystemsAlone(t *testing.T) {
	p := plan{rounds: 3, events: 1_000_000, long: 10_000_000, measures: measures}
	for _, s := range rivals.Systems() {
		p.systems = append(p.systems, s.Name)
	}
	seen := map[string]int{}
	for _, task := range p.tasks() {
		seen[task.name]++
		if task.name != report.CaseBacklog {
			continue
		}
		events, rounds := 1_000_000, 3
		switch task.system.Name {
		case report.Debezium:
			events, rounds = 500_000, 2
		case report.WatermillTuned:
			events, rounds = 200_000, 2
		case report.Watermill:
			events, rounds = 30_000, 2
		}
		require.Equal(t, events, task.events, task.system.Name)
		require.Equal(t, rounds, task.rounds, task.system.Name)
	}
	require.Equal(t, map[string]int{report.CaseBacklog: 8, report.CaseHeld: 2, report.CaseSteady: 4, report.CaseOpen: 3, report.CaseLong: 1, report.CaseLarge: 5}, seen)
}

func TestTenthsAreTimedByTheirBounds(t *testing.T) {
	samples := []sample{{0, 0}, {time.Second, 0}, {2 * time.Second, 500}, {4 * time.Second, 1000}}
	rates := tenths(samples, 1000)
	require.InDelta(t, 500, rates[1], 0.01)
	require.InDelta(t, 250, rates[9], 0.01)
	require.InDelta(t, 250, warm(samples, 1000), 0.01)
}
