//go:build mutants

package faults_test

import (
	"flag"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var only = flag.String("only", "", "the mutants whose names match this regular expression")

// signs are how the oracle's words begin for what a mutant shows.
var signs = map[string]string{
	lost: "lost: ", doubled: "doubled: ", inversion: "inversion: ", uncommitted: "uncommitted: ", twice: "twice: ", early: "early: ",
	miscounted: "consumers count",
}

// Each mutant is caught by its seed at the latest, and by what it is known to
// break. Runs of a mutant go on one after another; several mutants at a time.
func TestMutantsAreCaught(t *testing.T) {
	chosen, err := regexp.Compile(*only)
	require.NoError(t, err)
	for _, m := range mutants() {
		if !chosen.MatchString(m.name) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(build(t, m), false, 1)
			begun := time.Now()
			for seed := *first; seed < *first+uint64(m.seeds); seed++ {
				found := hunt(t, h, newPlan(seed, false))
				t.Logf("seed %d: %q", seed, found[:min(len(found), 6)])
				if at := slices.IndexFunc(found, m.shown); at >= 0 {
					t.Logf("caught with seed %d, the %d. of %d, in %s: %s", seed, seed-*first+1, m.seeds, time.Since(begun).Round(time.Second), found[at])
					return
				}
			}
			t.Errorf("not caught by %d seeds: %s", m.seeds, m.breaks)
		})
	}
}

// hunt carries out a run of a mutant, in which anything may be wrong.
func hunt(t *testing.T, h *house, p plan) (found []string) {
	t.Helper()
	parent := t
	t.Run("run", func(t *testing.T) { // what it started is put away before the next
		r := newRun(t, h, parent, p)
		r.carryOut(t.Context())
		for _, what := range r.found() {
			if r.idle || !strings.HasPrefix(what, signs[lost]) { // else it may come yet
				found = append(found, what)
			}
		}
	})
	require.False(t, t.Failed())
	return found
}

func (m *mutant) shown(found string) bool {
	return slices.ContainsFunc(m.shows, func(what string) bool {
		return strings.HasPrefix(found, signs[what])
	})
}
