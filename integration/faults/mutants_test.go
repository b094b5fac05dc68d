//go:build mutants

package faults_test

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a mutant shows.
const (
	lost        = "lost"                  // committed, and neither in the topic nor set aside; or its effect is missing
	doubled     = "doubled effect"        // of one message
	inversion   = "inversion"             // of a key: first appearances, or effects
	uncommitted = "uncommitted published" // in the topic, and not in the database
	twice       = "at-most-once twice"    // in the topic
	early       = "scheduled event early" // by the database's clock
	miscounted  = "miscounted"            // consumers say that they have handled more than they have
)

// mutants are the systems that the oracle must not take for a right one.
//
// Not among them is what only looks wrong, because something else stands behind it:
//
//   - Trust in the lease that never ends, or the fence of save_checkpoint alone taken
//     away. A relay that was frozen finds out by its next renewal, a moment after it
//     wakes, and what it publishes until then repeats what its successor publishes, in
//     order. With all three taken away (below) two relays go on side by side.
//   - A cursor kept over a reconnect that covers no more than what was acknowledged:
//     the durability gate has seen to it that PostgreSQL does not hand out again the
//     transaction ids before it.
//   - The consumers' fence: who overtakes a message that is set aside has failed on it
//     too, or has handled it, and the ids know that.
func mutants() []*mutant {
	return slices.Concat(mutantsOfReading(), mutantsOfSaving(), mutantsOfSending(), mutantsOfConsumers())
}

// Every mutant fits the code as it is, is complete, and compiles.
func TestMutantsCompile(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, m := range mutants() {
		require.False(t, names[m.name], "two are called %q", m.name)
		names[m.name] = true
		t.Run(m.name, func(t *testing.T) {
			require.NotEmpty(t, m.breaks)
			require.NotEmpty(t, m.needs)
			require.NotEmpty(t, m.edits)
			require.NotEmpty(t, m.shows)
			require.Positive(t, m.seeds)
			arguments := []string{"build", "-overlay", m.overlay(t)}
			for _, e := range m.edits {
				arguments = append(arguments, root+"/"+strings.TrimSuffix(path.Dir(e.file), "/sql"))
			}
			out, err := exec.CommandContext(t.Context(), "go", arguments...).CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
	}
}
