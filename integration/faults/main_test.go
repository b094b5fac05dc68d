package faults_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

var (
	first  = flag.Uint64("first", 1, "the first seed")
	seeds  = flag.Int("seeds", 24, "how many runs there are on fake brokers")
	kafkas = flag.Int("kafka", 5, "how many there are on a real Kafka")
	// A term has to read where it is, and to save, before its lease is over; on a
	// machine that does other things too that takes a while.
	lease   = flag.Duration("lease", 2*time.Second, "the relays' lease")
	minutes = flag.Int("minutes", 0, "begin no run after that many minutes, if it is not 0")
)

var begun = time.Now()

func TestMain(m *testing.M) { testservers.Main(m) }

func TestFakeBrokers(t *testing.T) { sweep(t, false, *seeds) }

func TestKafka(t *testing.T) { sweep(t, true, *kafkas) }

// sweep carries out so many runs, some at a time.
func sweep(t *testing.T, real bool, runs int) {
	h := newHouse(build(t, nil), real, atOnce(t))
	var all sum
	t.Run("seeds", func(parent *testing.T) {
		for seed := *first; seed < *first+uint64(runs); seed++ {
			parent.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				if *minutes > 0 && time.Since(begun) > time.Duration(*minutes)*time.Minute {
					return
				}
				if n := all.add(one(t, h, parent, newPlan(seed, real))); n%25 == 0 {
					say(fmt.Sprintf("%s: %s", parent.Name(), &all))
				}
			})
		}
	})
	t.Log(&all)
	if runs >= 25 {
		say(all.String())
	}
	if runs > 0 && all.runs == 0 {
		t.Error("there was no time for a run")
	}
}

// one carries out a run, and says what is wrong and how to repeat it.
func one(t *testing.T, h *house, parent *testing.T, p plan) report {
	t.Helper()
	r := newRun(t, h, parent, p)
	result := r.carryOut(t.Context())
	t.Logf("%d events, %d records, of them %d repeated, %d effects", result.events, result.records, result.repeated, result.effects)
	if found := r.found(); len(found) > 0 {
		for _, what := range found[:min(len(found), 20)] {
			t.Error(what)
		}
		only := "KAFKA=0"
		if p.real {
			only = "SEEDS=0 KAFKA=1"
		}
		t.Errorf("seed %d: %d things are wrong. Journal and logs: %s\nto repeat it: make faults FIRST=%d SEEDS=1 %s\n%s",
			p.seed, len(found), r.keep(), p.seed, only, r.journal.faultsOnly())
	}
	return result
}

// say tells who watches a long sweep.
func say(text string) { fmt.Fprintln(os.Stderr, text) }
