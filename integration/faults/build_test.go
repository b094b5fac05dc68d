package faults_test

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/tandem-outbox/tandem/internal/testprograms"
)

// withRace is for a search of races alone: the programs are several times slower.
var withRace = flag.Bool("race", false, "build the programs with the race detector")

// programs are the paths of the binaries that a run starts.
type programs struct{ tandem, consumer string }

// build builds the programs, of the system as it is or, where m is not nil, of the
// one that is wrong. They are there until t ends, for all its subtests.
func build(t testing.TB, m *mutant) programs {
	t.Helper()
	arguments := []string{"./consumer", "../../cmd/tandem"}
	if *withRace {
		arguments = append([]string{"-race"}, arguments...)
	}
	if m != nil {
		arguments = append([]string{"-overlay", m.overlay(t)}, arguments...)
	}
	dir := t.TempDir()
	testprograms.Build(t, dir, arguments...)
	return programs{tandem: filepath.Join(dir, "tandem"), consumer: filepath.Join(dir, "consumer")}
}
