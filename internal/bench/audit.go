package bench

import "fmt"

// Audit is what arrived of the events 0 to Expected-1.
type Audit struct {
	Expected   int `json:"expected"`
	Lost       int `json:"lost"`
	Duplicated int `json:"duplicated"`   // records beyond the first of an event
	OutOfOrder int `json:"out_of_order"` // first records that came after a later one of their key
	Strange    int `json:"strange"`      // records that are no event of the run
}

// Clean tells whether every event arrived once and in order.
func (a Audit) Clean() bool { return a == Audit{Expected: a.Expected} }

func (a Audit) String() string {
	text := fmt.Sprintf("%d lost, %d duplicated, %d out of order", a.Lost, a.Duplicated, a.OutOfOrder)
	if a.Strange > 0 {
		text += fmt.Sprintf(", %d that are none of the run", a.Strange)
	}
	return text
}

// Add sums two audits of different events up.
func (a Audit) Add(b Audit) Audit {
	return Audit{a.Expected + b.Expected, a.Lost + b.Lost, a.Duplicated + b.Duplicated, a.OutOfOrder + b.OutOfOrder, a.Strange + b.Strange}
}

// Auditor counts records as they come out of a topic, those of one partition in
// their order. It is not for concurrent use.
type Auditor struct {
	audit   Audit
	seen    []bool
	last    map[string]int
	left    int
	written func(n int) bool // which of seen there can be; nil is all
}

// NewAuditor expects the events 0 to n-1.
func NewAuditor(n int) *Auditor {
	return &Auditor{audit: Audit{Expected: n}, seen: make([]bool, n), last: map[string]int{}, left: n}
}

// Record takes a record, and returns its event's number, or -1 for one that is none.
func (a *Auditor) Record(key, payload []byte) int {
	n, err := Number(payload)
	if err != nil || n >= len(a.seen) || string(key) != Key(n) || a.written != nil && !a.written(n) {
		a.audit.Strange++
		return -1
	}
	if a.seen[n] {
		a.audit.Duplicated++
		return n
	}
	a.seen[n] = true
	a.left--
	if last, ok := a.last[string(key)]; ok && last > n {
		a.audit.OutOfOrder++
	}
	a.last[string(key)] = max(a.last[string(key)], n)
	return n
}

// Complete tells whether every event has arrived.
func (a *Auditor) Complete() bool { return a.left == 0 }

// Result is the audit so far: what has not arrived is lost.
func (a *Auditor) Result() Audit {
	result := a.audit
	result.Lost = a.left
	return result
}
