package bench

// numbers gives events their numbers so that each key is of one client alone,
// which writes its events one after another: so their order is known, without a
// lock in what is measured. Of client c are c, c+width, c+2*width and so on.
type numbers struct {
	width int
	next  []int // by client: how many it has taken
}

func newNumbers(clients int) *numbers {
	width := clients
	for Keys%width != 0 {
		width++
	}
	return &numbers{width: width, next: make([]int, width)}
}

// peek is the number that take takes. Both are for the client itself.
func (n *numbers) peek(client int) int { return client + n.width*n.next[client] }

func (n *numbers) take(client int) { n.next[client]++ }

// auditor expects what was taken.
func (n *numbers) auditor() *Auditor {
	most, taken := 0, 0
	for client, count := range n.next {
		taken += count
		if count > 0 {
			most = max(most, n.peek(client)-n.width+1)
		}
	}
	a := NewAuditor(most)
	a.audit.Expected, a.left = taken, taken
	a.written = func(number int) bool { return number/n.width < n.next[number%n.width] }
	return a
}
