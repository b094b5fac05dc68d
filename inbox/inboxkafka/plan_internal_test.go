package inboxkafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/inbox/internal/cloudevent"
)

// A message that was held behind its key, and is not any more, is asked for its
// id as it came: MessageID may build on the ce_id.
func TestTheIDOfAMessageIsMadeOfWhatCame(t *testing.T) {
	t.Parallel()
	config := Config{
		Consumer:  "billing",
		MessageID: func(m inbox.Message) (string, error) { return "shop/" + m.ID, nil },
	}.withDefaults()
	p := &partition{member: &member{Consumer: &Consumer{config: config}}}
	m := inbox.Message{Key: []byte("k"), Value: []byte("v"), Headers: []inbox.Header{{Name: "ce_id", Value: []byte("1")}}, Attempt: 1}
	cloudevent.Read(&m)
	q := &queue{items: []apply.Item{{Message: m}}, limit: 1}
	plan := func() *apply.Item {
		n, err := p.plan(q)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		return &q.items[0]
	}
	require.Equal(t, "shop/1", plan().Message.ID)

	name := apply.LaneOf(&m, apply.Key)
	p.lanes.hold(name, apply.Key, time.Now())
	held := plan().Verdict
	require.Equal(t, apply.Held, held.State)
	require.Equal(t, "shop/1", held.ID)
	p.lanes.free(name)
	item := plan()
	require.Nil(t, item.Verdict)
	require.Equal(t, "shop/1", item.Message.ID)
}
