package bench_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/bench"
)

func TestAPayloadIsJSONOfItsSizeThatBearsItsNumber(t *testing.T) {
	for _, n := range []int{0, 1, 999_999, 123_456_789} {
		for _, size := range []int{bench.MinPayload, 200, 1000} {
			payload := bench.Payload(n, size)
			require.Len(t, payload, size)
			require.True(t, json.Valid(payload))
			got, err := bench.Number(payload)
			require.NoError(t, err)
			require.Equal(t, n, got)
		}
	}
	_, err := bench.Number([]byte("no number"))
	require.Error(t, err)
}

func TestTheAuditSeesLossDuplicatesAndDisorder(t *testing.T) {
	record := func(a *bench.Auditor, n int) { a.Record([]byte(bench.Key(n)), bench.Payload(n, 100)) }
	n := 3 * bench.Keys
	a := bench.NewAuditor(n)
	for i := range n {
		record(a, i)
	}
	require.True(t, a.Complete())
	require.True(t, a.Result().Clean())
	record(a, 5)
	require.Equal(t, bench.Audit{Expected: n, Duplicated: 1}, a.Result())

	a = bench.NewAuditor(n)
	record(a, 1+bench.Keys)
	record(a, 1)
	record(a, 1+2*bench.Keys)
	a.Record([]byte("somebody"), []byte("else's"))
	require.Equal(t, bench.Audit{Expected: n, Lost: n - 3, OutOfOrder: 1, Strange: 1}, a.Result())
	require.False(t, a.Complete())
}
