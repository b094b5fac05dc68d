package stories_test

import (
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

var (
	seeds = flag.Int("seeds", 12, "how many seeds a story is told with")
	first = flag.Int("first", 1, "the first of them")
)

// wholeSweep is from how many seeds on every step has to be met.
const wholeSweep = 100

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(childVariable); ok { // a process of another test's
		if err := runChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testservers.Main(m)
}

// forEachSeed tells a story with every seed, some at a time.
func forEachSeed(t *testing.T, story func(t *testing.T, seed int)) {
	t.Helper()
	var done atomic.Int32
	t.Run("seeds", func(t *testing.T) {
		for seed := *first; seed < *first+*seeds; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				defer func() {
					if t.Failed() {
						t.Logf("to repeat it: make stories FIRST=%d SEEDS=1", seed)
					}
					if n := done.Add(1); n%10 == 0 {
						say(t, fmt.Sprintf("%d of %d seeds are done", n, *seeds))
					}
				}()
				story(t, seed)
			})
		}
	})
}

// say logs, and in a whole sweep, which takes minutes, at once.
func say(t *testing.T, text string) {
	t.Helper()
	t.Log(text)
	if *seeds >= wholeSweep {
		fmt.Fprintf(os.Stderr, "%s: %s\n", t.Name(), text)
	}
}
