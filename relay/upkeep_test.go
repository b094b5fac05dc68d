package relay_test

import "testing"

// The working relay looks after the inbox's storage, step after step.
func TestTheRelayMaintainsTheInbox(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.exec(t, `INSERT INTO tandem.inbox_foreign SELECT 'billing', n::text, now() - interval '91 days' FROM generate_series(1, 25000) AS n`)
	start(t, l.config(t, newMemory(1)))
	l.await(t, `SELECT count(*) = 0 FROM tandem.inbox_foreign`)
}
