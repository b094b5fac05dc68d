package outboxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandem-outbox/tandem/outbox"
)

// requireSame compares events one by one.
func requireSame(t testing.TB, complaint string, got, want []outbox.Event) {
	t.Helper()
	var differences []string
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			differences = append(differences, fmt.Sprintf("event %d is missing", i+1))
		case i >= len(want):
			differences = append(differences, fmt.Sprintf("event %d is not expected", i+1))
		default:
			for _, d := range differ(got[i], want[i]) {
				differences = append(differences, fmt.Sprintf("event %d: %s", i+1, d))
			}
		}
	}
	if differences != nil {
		t.Fatal(report(complaint, got, want, differences))
	}
}

// report shows what there is beside what was expected.
func report(complaint string, got, want []outbox.Event, differences []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "outboxtest: %s\n", complaint)
	list := func(title string, events []outbox.Event) {
		fmt.Fprintf(&b, "%s:", title)
		if len(events) == 0 {
			b.WriteString(" none")
		}
		b.WriteByte('\n')
		for i, e := range events {
			fmt.Fprintf(&b, "  %d. %s\n", i+1, describe(e))
		}
	}
	list("expected", want)
	list("there", got)
	b.WriteString("difference:\n")
	for _, d := range differences {
		fmt.Fprintf(&b, "  %s\n", d)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// describe names the fields of an event that are set.
func describe(e outbox.Event) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if e.Topic != "" {
		add("topic %s", e.Topic)
	}
	if e.Key != "" {
		add("key %q", e.Key)
	}
	if e.Type != "" {
		add("type %s", e.Type)
	}
	switch {
	case e.Tombstone:
		add("tombstone")
	case e.Payload != nil:
		add("payload %s", shown(e.Payload))
	}
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		add("header %s=%q", name, e.Headers[name])
	}
	if e.Partition != nil {
		add("partition %d", *e.Partition)
	}
	if e.AtMostOnce {
		add("at most once")
	}
	if !e.NotBefore.IsZero() {
		add("not before %s", e.NotBefore.UTC().Format(time.RFC3339Nano))
	}
	if !e.Expires.IsZero() {
		add("expires %s", e.Expires.UTC().Format(time.RFC3339Nano))
	}
	if e.ID != "" {
		add("id %s", e.ID)
	}
	return strings.Join(parts, ", ")
}

// differ says how an event is not what is expected of it.
func differ(got, want outbox.Event) (all []string) {
	text := func(field, got, want string) {
		if want != "" && got != want {
			all = append(all, fmt.Sprintf("the %s is %q, expected %q", field, got, want))
		}
	}
	text("id", got.ID, strings.ToLower(want.ID))
	text("topic", got.Topic, want.Topic)
	text("key", got.Key, want.Key)
	text("type", got.Type, want.Type)
	switch {
	case got.Tombstone != want.Tombstone:
		all = append(all, fmt.Sprintf("it is a tombstone: %t, expected: %t", got.Tombstone, want.Tombstone))
	case want.Payload != nil && !alike(got.Payload, want.Payload):
		all = append(all, fmt.Sprintf("the payload is %s, expected %s", shown(got.Payload), shown(want.Payload)))
	}
	for _, name := range slices.Sorted(maps.Keys(want.Headers)) {
		if value, there := got.Headers[name]; !there {
			all = append(all, fmt.Sprintf("header %s is missing, expected %q", name, want.Headers[name]))
		} else {
			text("header "+name, value, want.Headers[name])
		}
	}
	if want.Partition != nil && (got.Partition == nil || *got.Partition != *want.Partition) {
		all = append(all, fmt.Sprintf("it does not ask for partition %d", *want.Partition))
	}
	if got.AtMostOnce != want.AtMostOnce {
		all = append(all, fmt.Sprintf("it is to be sent at most once: %t, expected: %t", got.AtMostOnce, want.AtMostOnce))
	}
	moment := func(field string, got, want time.Time) {
		if want = want.UTC().Truncate(time.Microsecond); !want.IsZero() && !got.Equal(want) {
			all = append(all, fmt.Sprintf("%s is %s, expected %s", field, got.Format(time.RFC3339Nano), want.Format(time.RFC3339Nano)))
		}
	}
	moment("NotBefore", got.NotBefore, want.NotBefore)
	moment("Expires", got.Expires, want.Expires)
	return all
}

// alike compares payloads as JSON where what is expected is some.
func alike(got, want []byte) bool {
	if bytes.Equal(got, want) {
		return true
	}
	a, isJSON := parse(want)
	b, too := parse(got)
	return isJSON && too && reflect.DeepEqual(a, b)
}

func parse(payload []byte) (value any, is bool) {
	if !json.Valid(payload) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber() // large numbers are not to become alike
	return value, d.Decode(&value) == nil
}

// shown is a payload for people.
func shown(payload []byte) string {
	const limit = 500
	text := fmt.Sprintf("%q", payload)
	if json.Valid(payload) {
		text = string(payload)
	}
	if len(text) > limit {
		return fmt.Sprintf("%s… (%d bytes)", text[:limit], len(payload))
	}
	return text
}
