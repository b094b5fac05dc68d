package schema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/schema"
)

func TestVersionsCheck(t *testing.T) {
	t.Parallel()
	const own = schema.Version
	for name, c := range map[string]struct {
		versions schema.Versions
		says     string // empty: they fit
	}{
		"the same":                          {schema.Versions{Schema: own, WorksWith: own}, ""},
		"the same, and older ones work too": {schema.Versions{Schema: own, WorksWith: 1}, ""},
		"newer, and works with ours":        {schema.Versions{Schema: own + 3, WorksWith: own}, ""},
		"newer, and works with older ones":  {schema.Versions{Schema: own + 3, WorksWith: 1}, ""},
		"newer, and does not":               {schema.Versions{Schema: own + 3, WorksWith: own + 1}, "upgrade this program"},
		"older":                             {schema.Versions{Schema: own - 1, WorksWith: 1}, "tandem migrate up of this program's release first"},
	} {
		err := c.versions.Check("events")
		if c.says == "" {
			require.NoError(t, err, name)
			continue
		}
		var mismatch *schema.MismatchError
		require.ErrorAs(t, err, &mismatch, name)
		require.ErrorContains(t, err, c.says, name)
		require.ErrorContains(t, err, `schema "events"`, name)
	}
}
