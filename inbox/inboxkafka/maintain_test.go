package inboxkafka_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox/internal/testinbox"
)

// A consumer looks after the inbox's storage, with its own rights.
func TestTheConsumerMaintainsTheInbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	_, err := w.admin.Exec(t.Context(), `INSERT INTO tandem.inbox_foreign VALUES ('billing', 'payment 1', now() - interval '91 days')`)
	require.NoError(t, err)
	w.start(w.config(), effect)
	require.Eventually(t, func() bool {
		return testinbox.Count(t, w.admin, `SELECT count(*) FROM tandem.inbox_foreign`) == 0
	}, 30*time.Second, 10*time.Millisecond)
}
