package insert

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/tandem-outbox/tandem/internal/lineage"
)

// What tandem.add_event allows too. The size limit is not here: an operator may
// change it, so Statement reads it from tandem.settings.
const (
	maxTopicChars = 249
	maxTypeBytes  = 1000
)

// check returns the first thing wrong with e, in the order in which
// tandem.add_event looks, so that both name the same field.
func (c *Columns) check(e Event) *Problem {
	for _, p := range []*Problem{
		c.checkID(e.ID),
		checkTopic(e.Topic),
		checkType(e.Type),
		checkPartition(e.Partition),
		checkTime("not_before", e.NotBefore),
		checkTime("expires", e.Expires),
		checkTimes(e),
		checkText("key", "key", e.Key),
		checkHeaders(e.Headers),
		checkTombstone(e),
	} {
		if p != nil {
			return p
		}
	}
	return nil
}

func (c *Columns) checkID(given string) *Problem {
	if given == "" {
		return nil
	}
	// uuid.Parse alone would also take braces, "urn:uuid:" and bare digits.
	id, err := uuid.Parse(given)
	if err != nil || len(given) != 36 {
		return refuse("id", "is no UUID in its 36-character form")
	}
	if first, twice := c.seen[id]; twice {
		return refuse("id", "event %d of the same call has it too", first)
	}
	return nil
}

func checkTopic(topic string) *Problem {
	if topic == "" {
		return refuse("topic", "is empty")
	}
	if n := utf8.RuneCountInString(topic); n > maxTopicChars {
		return refuse("topic", "has %d characters, Kafka allows %d", n, maxTopicChars).limit(maxTopicChars)
	}
	if topic == "." || topic == ".." || strings.ContainsFunc(topic, forbiddenInTopic) {
		return refuse("topic", "may consist of a-z, A-Z, 0-9, '.', '_' and '-', and not be '.' or '..'")
	}
	return nil
}

func forbiddenInTopic(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("._-", r)
}

func checkType(eventType string) *Problem {
	if len(eventType) > maxTypeBytes {
		return refuse("type", "has %d bytes, allowed are %d", len(eventType), maxTypeBytes).limit(maxTypeBytes)
	}
	return checkText("type", "type", eventType)
}

func checkPartition(partition *int32) *Problem {
	if partition != nil && *partition < 0 {
		return refuse("partition", "is %d, it counts from 0", *partition)
	}
	return nil
}

// checkTime keeps to the years that every format of a time can write. The zero
// time, which means none here, is not among them.
func checkTime(field string, given time.Time) *Problem {
	t := inMicroseconds(given)
	if given.IsZero() || (t.After(time.Time{}) && t.Year() <= 9999) {
		return nil
	}
	return refuse(field, "is in the year %d, allowed are times in the years 1 to 9999", t.Year())
}

func checkTimes(e Event) *Problem {
	notBefore, expires := inMicroseconds(e.NotBefore), inMicroseconds(e.Expires)
	if e.NotBefore.IsZero() || e.Expires.IsZero() || expires.After(notBefore) {
		return nil
	}
	return refuse("expires", "is %s, which is not after not_before, %s", expires.Format(time.RFC3339Nano), notBefore.Format(time.RFC3339Nano))
}

// inMicroseconds is t as Postgres keeps it.
func inMicroseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// checkHeaders goes by sorted name, so that the same event gets the same answer.
func checkHeaders(headers map[string]string) *Problem {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		switch {
		case name == "":
			return refuse("headers", "a header has an empty name")
		case isReserved(name):
			return refuse("headers", "header %.80q: names that begin with ce_ are reserved for CloudEvents attributes, "+
				"except for ce_causationid and ce_correlationid", name)
		}
		if p := checkText("headers", "a header's name", name); p != nil {
			return p
		}
		if p := checkText("headers", fmt.Sprintf("the value of header %.80q", name), headers[name]); p != nil {
			return p
		}
	}
	return nil
}

// isReserved: what the relay says of an event, nobody else may.
func isReserved(name string) bool {
	if len(name) < 3 || !strings.EqualFold(name[:3], "ce_") {
		return false
	}
	return name != lineage.CausationHeader && name != lineage.CorrelationHeader
}

func checkTombstone(e Event) *Problem {
	if e.Tombstone && len(e.Payload) > 0 {
		return refuse("payload", "a tombstone has no payload, this one has %d bytes", len(e.Payload))
	}
	return nil
}

// checkText refuses what a Postgres text cannot hold; SQL never gets to see it.
func checkText(field, what, s string) *Problem {
	if strings.IndexByte(s, 0) >= 0 {
		return refuse(field, "%s contains a zero byte, which Postgres cannot store in a text", what)
	}
	if !utf8.ValidString(s) {
		return refuse(field, "%s is not valid UTF-8", what)
	}
	return nil
}
