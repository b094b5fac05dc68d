package relaykafka

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// envelope makes the CloudEvents headers of records. Those of one type differ in
// an id and a time alone, so they are made once, in a record's form, and copied.
// It belongs to one encoder.
type envelope struct {
	source string
	clock  clock

	eventType    string // of headers, which are nil before the first event
	headers      []byte
	idAt, timeAt int
}

const (
	envelopeHeaders = 5
	uuidLen         = 36
	timeLen         = len("2006-01-02T15:04:05.000000Z")
)

// envelopeLen is about how many bytes the headers take without a type.
const envelopeLen = 128

// set prepares for an event's type and time, and returns how many bytes append
// will append. It refuses years that RFC 3339 cannot write.
func (e *envelope) set(eventType string, at time.Time) (int, error) {
	if err := e.clock.set(at); err != nil {
		return 0, err
	}
	if e.headers == nil || eventType != e.eventType {
		e.make(eventType)
	}
	return len(e.headers), nil
}

func (e *envelope) make(eventType string) {
	h := appendField(appendField(e.headers[:0], "ce_specversion"), "1.0")
	h = appendField(h, "ce_id")
	e.idAt = len(h) + varintLen(uuidLen)
	h = appendField(h, "00000000-0000-0000-0000-000000000000")
	h = appendField(appendField(h, "ce_source"), e.source)
	h = appendField(appendField(h, "ce_type"), eventType)
	h = appendField(h, "ce_time")
	e.timeAt = len(h) + varintLen(int64(timeLen))
	e.headers, e.eventType = appendField(h, "2006-01-02T15:04:05.000000Z"), eventType
}

// append appends the headers of one event, for which set must have been called.
func (e *envelope) append(dst []byte, id [16]byte, at time.Time) []byte {
	start := len(dst)
	dst = append(dst, e.headers...)
	putUUID(dst[start+e.idAt:], id)
	e.clock.put(dst[start+e.timeAt:], at)
	return dst
}

// replayHeader marks a record that an operator has asked for: its value is the
// request's number.
const replayHeader = "tandem-replay"

func appendReplay(dst []byte, request int64) []byte {
	return appendField(appendField(dst, replayHeader), strconv.FormatInt(request, 10))
}

// hexPairs are the two digits of every byte.
var hexPairs = func() (pairs [256][2]byte) {
	for i := range pairs {
		copy(pairs[i][:], fmt.Sprintf("%02x", i))
	}
	return pairs
}()

// uuidDigits is where in its text a UUID's bytes stand.
var uuidDigits = [16]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// putUUID writes the digits of 8-4-4-4-12; the hyphens are there.
func putUUID(dst []byte, id [16]byte) {
	_ = dst[uuidLen-1]
	for i, at := range uuidDigits {
		pair := &hexPairs[id[i]]
		dst[at], dst[at+1] = pair[0], pair[1]
	}
}

// clock formats times as RFC 3339 in UTC with microseconds. Neighbouring events
// mostly share their second, so it is formatted once. The zero clock is ready.
type clock struct {
	second int64
	text   []byte // of second: 2006-01-02T15:04:05.
}

func (c *clock) set(at time.Time) error {
	second := at.Unix()
	if second == c.second && c.text != nil {
		return nil
	}
	utc := at.UTC()
	if year := utc.Year(); year < 0 || year > 9999 {
		return fmt.Errorf("it was created in the year %d, which ce_time cannot hold", year)
	}
	c.second, c.text = second, utc.AppendFormat(slices.Grow(c.text[:0], timeLen), "2006-01-02T15:04:05.")
	return nil
}

// put writes at, for which set must have been called, without the Z.
func (c *clock) put(dst []byte, at time.Time) {
	n := copy(dst, c.text)
	micros := at.Nanosecond() / 1000
	for i := n + 5; i >= n; i-- {
		dst[i] = byte('0' + micros%10)
		micros /= 10
	}
}
