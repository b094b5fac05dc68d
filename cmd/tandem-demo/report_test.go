package main

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
)

func kept() findings {
	return findings{
		orders: 3, rolledBack: 1, records: 4, duplicates: 1,
		with: chargeCounts{charges: 3}, without: chargeCounts{charges: 4, double: 1},
	}
}

func TestDoubleChargesWithoutAnInboxBreakNoPromise(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, report(&out, kept(), nil))
	require.Contains(t, out.String(), "= orders + 1 double charges")
	require.NotContains(t, out.String(), "BROKEN")
}

func TestEachBrokenPromiseIsNamed(t *testing.T) {
	t.Parallel()
	for _, breakIt := range []func(*findings){
		func(f *findings) { f.missing = 1 },
		func(f *findings) { f.ghosts = 1 },
		func(f *findings) { f.outOfOrder = 1 },
		func(f *findings) { f.mismatching = 1 },
		func(f *findings) { f.with.double = 1 },
		func(f *findings) { f.with.missing = 1 },
		func(f *findings) { f.with.ghosts = 1 },
		func(f *findings) { f.without.missing = 1 },
		func(f *findings) { f.without.ghosts = 1 },
	} {
		f := kept()
		breakIt(&f)
		var out bytes.Buffer
		var broken *brokenError
		require.ErrorAs(t, report(&out, f, nil), &broken, "%+v", f)
		require.Len(t, broken.promises, 1)
		require.NotContains(t, out.String(), "Every promise was kept")
	}
}

// What the topic holds is judged record by record.
func TestRecordsAreJudgedByFirstAppearances(t *testing.T) {
	t.Parallel()
	var f findings
	r := &reading{findings: &f, orders: map[string]bool{"a": true, "b": true, "c": true}, idOf: map[string]string{}, orderOf: map[string]string{}, highest: map[int]int{}}
	give := func(o order, id string) {
		value, err := json.Marshal(o)
		require.NoError(t, err)
		require.NoError(t, r.record(&kafka.Message{Value: value, Headers: []kafka.Header{{Key: "ce_id", Value: []byte(id)}}}))
	}
	a, b, c := order{ID: "a", Customer: 1, Number: 1}, order{ID: "b", Customer: 1, Number: 2}, order{ID: "c", Customer: 1, Number: 3}
	give(a, "1")
	give(b, "2")
	give(a, "1") // a killed relay repeats; the order was judged by then
	give(c, "3")
	require.Equal(t, findings{records: 4, duplicates: 1}, f)

	give(order{ID: "x", Customer: 2, Number: 1}, "4")
	require.Equal(t, 1, f.ghosts)
	give(a, "5")
	require.Equal(t, 1, f.mismatching, "the same order under another id")
	require.Equal(t, 1, f.outOfOrder, "and, being a first appearance, late")
}

func TestWrongUsageOfTheDemo(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--duration=forever"}, {"--duration=1ms"}, {"--rate=0"}, {"--sed=1"}, {"now"},
		{}, // no program tandem beside the test's binary
	} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, exitUsage, run(context.Background(), args, &stdout, &stderr), args)
		require.Empty(t, stdout.String())
		require.Contains(t, stderr.String(), "tandem-demo: ")
	}
}

func TestTheDemoNeverRepeatsAPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://u:h1dden@host:port/db", "postgres://u:h1dden@127.0.0.1:1/db?sslmode=disable"} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), []string{"--tandem=/bin/true", "--kafka-brokers=127.0.0.1:1", "--database-url=" + url}, &stdout, &stderr)
		require.Equal(t, exitFailed, code)
		require.NotContains(t, stdout.String()+stderr.String(), "h1dden")
	}
}
