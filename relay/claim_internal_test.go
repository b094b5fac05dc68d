package relay

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The claims of earlier terms are saved until the checkpoint is of this one, so
// that a second crash before that knows them too; and no longer.
func TestClaimsOfEarlierTermsAreCarriedAlong(t *testing.T) {
	t.Parallel()
	c := claims{earlier: []string{"3:5:/4:6:/7"}, wake: make(chan struct{}, 1)}
	require.Equal(t, []string{"3:5:/4:6:/7"}, c.saved(checkpoint{}))
	require.Empty(t, c.saved(checkpoint{own: true}))
	c.claim([]*item{{}}, checkpoint{prev: "8:8:"})
	require.Len(t, c.saved(checkpoint{}), 1, "it is not taken yet")
	require.Len(t, c.take(), 1)
	require.Equal(t, []string{"3:5:/4:6:/7", "8:8://0"}, c.saved(checkpoint{}))
	require.Equal(t, []string{"8:8://0"}, c.saved(checkpoint{own: true}))
}
