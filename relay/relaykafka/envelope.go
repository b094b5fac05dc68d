package relaykafka

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// envelope holds what the CloudEvents headers of all records have in common,
// already in a record's form:
//
//	untilID  <uuid>  untilType  <type, behind its length>  untilTime  <time>
type envelope struct {
	untilID, untilType, untilTime []byte
}

const (
	envelopeHeaders = 5
	uuidLen         = 36
	timeLen         = len("2006-01-02T15:04:05.000000Z")
)

func newEnvelope(source string) envelope {
	var e envelope
	e.untilID = appendField(appendField(nil, "ce_specversion"), "1.0")
	e.untilID = appendVarint(appendField(e.untilID, "ce_id"), uuidLen)
	e.untilType = appendField(appendField(nil, "ce_source"), source)
	e.untilType = appendField(e.untilType, "ce_type")
	e.untilTime = appendVarint(appendField(nil, "ce_time"), int64(timeLen))
	return e
}

// len returns how many bytes append appends.
func (e *envelope) len(eventType string) int {
	return len(e.untilID) + uuidLen + len(e.untilType) + varintLen(int64(len(eventType))) + len(eventType) +
		len(e.untilTime) + timeLen
}

// append appends the headers of one event. The clock formats its time.
func (e *envelope) append(dst []byte, id [16]byte, eventType string, at time.Time, c *clock) []byte {
	dst = append(dst, e.untilID...)
	dst = appendUUID(dst, id)
	dst = append(dst, e.untilType...)
	dst = appendField(dst, eventType)
	dst = append(dst, e.untilTime...)
	return c.append(dst, at)
}

// replayHeader marks a record that an operator has asked for: its value is the
// request's number.
const replayHeader = "tandem-replay"

func appendReplay(dst []byte, request int64) []byte {
	return appendField(appendField(dst, replayHeader), strconv.FormatInt(request, 10))
}

// appendUUID appends the 36 characters 8-4-4-4-12.
func appendUUID(dst []byte, id [16]byte) []byte {
	var text [uuidLen]byte
	hex.Encode(text[0:8], id[0:4])
	text[8] = '-'
	hex.Encode(text[9:13], id[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], id[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], id[8:10])
	text[23] = '-'
	hex.Encode(text[24:36], id[10:16])
	return append(dst, text[:]...)
}

// clock formats times as RFC 3339 in UTC with microseconds. Neighbouring events
// mostly share their second, so it is formatted once. The zero clock is ready.
type clock struct {
	second int64
	text   []byte // of second: 2006-01-02T15:04:05.
}

// set prepares for at. It refuses years that RFC 3339 cannot write.
func (c *clock) set(at time.Time) error {
	second := at.Unix()
	if second == c.second && c.text != nil {
		return nil
	}
	utc := at.UTC()
	if year := utc.Year(); year < 0 || year > 9999 {
		return fmt.Errorf("it was created in the year %d, which ce_time cannot hold", year)
	}
	c.second, c.text = second, utc.AppendFormat(c.text[:0], "2006-01-02T15:04:05.")
	return nil
}

// append appends at, for which set must have been called.
func (c *clock) append(dst []byte, at time.Time) []byte {
	micros := at.Nanosecond() / 1000
	var digits [7]byte
	digits[6] = 'Z'
	for i := 5; i >= 0; i-- {
		digits[i] = byte('0' + micros%10)
		micros /= 10
	}
	dst = append(dst, c.text...)
	return append(dst, digits[:]...)
}
