package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// Keys is how many keys the events of a benchmark are spread over.
const Keys = 10_000

// Key is the key of an event by its number: events of a key are Keys apart.
func Key(n int) string { return "customer-" + strconv.Itoa(n%Keys) }

const (
	payloadHead = `{"n":"`
	numberWidth = 12
	payloadPad  = `","pad":"`
	payloadTail = `"}`
)

// MinPayload is the smallest payload there is, in bytes.
const MinPayload = len(payloadHead) + numberWidth + len(payloadPad) + len(payloadTail)

// Payload is the payload of an event by its number, of size bytes: JSON, padded
// with characters that do not compress to nothing.
func Payload(n, size int) []byte {
	b := make([]byte, 0, max(size, MinPayload))
	b = fmt.Appendf(b, `%s%0*d%s`, payloadHead, numberWidth, n, payloadPad)
	noise := rand.NewPCG(uint64(n), 0)
	for bits := uint64(0); len(b) < size-len(payloadTail); bits >>= 6 {
		if bits < 64 {
			bits = noise.Uint64() | 1<<60
		}
		b = append(b, padding[bits&63])
	}
	return append(b, payloadTail...)
}

const padding = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"

// Number reads an event's number out of its payload. Spaces that a json column
// has put in are passed over.
func Number(payload []byte) (int, error) {
	at := 0
	for at < len(payload) && (payload[at] < '0' || payload[at] > '9') {
		at++
	}
	if len(payload) < at+numberWidth {
		return 0, errors.New("a record that is none of this benchmark's: its payload has no number")
	}
	n, err := strconv.Atoi(string(payload[at : at+numberWidth]))
	if err != nil {
		return 0, fmt.Errorf("a record that is none of this benchmark's: %w", err)
	}
	return n, nil
}
