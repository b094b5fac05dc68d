package neighbours_test

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
	"github.com/tandem-outbox/tandem/outbox"
)

// kcat prints keys, values and headers of our records, and the partition of a key.
func TestKcatReadsOurs(t *testing.T) {
	t.Parallel()
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		testservers.Missing(t, "kcat", fmt.Errorf("%w; Debian and Ubuntu: apt-get install kcat", err))
	}
	w := newWorld(t)
	want := w.addOrders(20)
	w.relay()
	out := run(t, "", kcat, "-C", "-q", "-e", "-b", w.brokers[0], "-t", w.topic, "-f", `%k\t%s\t%h\n`)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	got := map[string]order{} // by id: the relay may repeat itself
	for _, line := range lines {
		fields := strings.Split(line, "\t")
		require.Len(t, fields, 3, line)
		o := readOrder(t, fields[2], "=", fields[0], fields[1])
		got[o.id] = o
	}
	require.ElementsMatch(t, want, slices.Collect(maps.Values(got)))
}

// order is an event as the console programs show it.
type order struct{ id, kind, key, value string }

// readOrder makes one of what such a program has printed of a record, whose headers
// are name, separator and value, with commas between them.
func readOrder(t *testing.T, printed, separator, key, value string) order {
	t.Helper()
	headers := map[string]string{}
	for _, header := range strings.Split(printed, ",") {
		name, value, _ := strings.Cut(header, separator)
		headers[name] = value
	}
	require.Equal(t, "1.0", headers["ce_specversion"])
	require.Equal(t, source, headers["ce_source"])
	require.NotEmpty(t, headers["ce_time"])
	return order{id: headers["ce_id"], kind: headers["ce_type"], key: key, value: value}
}

// keys are some that might be taken for others: by their bytes, their length, their
// encoding.
func keys(n int) []string {
	all := []string{"a", "ab", "abc", "abcd", "ä", "žluťoučký kůň", "日本語", "😀", " ", "-1", strings.Repeat("long", 100)}
	for i := range n {
		all = append(all, fmt.Sprintf("o-%d", i))
	}
	return all
}

// addOrders adds an event for each of n keys and some strange ones.
func (w *world) addOrders(n int) []order {
	w.Helper()
	var orders []order
	var events []outbox.Event
	for i, key := range keys(n) {
		o := order{id: outbox.NewID(), kind: "order.placed", key: key, value: fmt.Sprintf(`{"number": %d, "note": "für %d €"}`, i, i)}
		orders = append(orders, o)
		events = append(events, outbox.Event{ID: o.id, Key: o.key, Type: o.kind, Payload: []byte(o.value)})
	}
	w.add(events...)
	return orders
}
