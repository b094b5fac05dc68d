package model_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tandem-outbox/tandem/internal/localproc"
	"github.com/tandem-outbox/tandem/internal/maven"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what one run of TLC explores: a model and its constants.
type world struct {
	module    string
	constants string
	settles   bool // whether to look too that everything settles, if what can be done is done
}

var (
	relayInvariants = []string{
		"NothingUncommitted", "NoZombieSaves", "NoZombieSends", "NothingReclaimedUnpublished",
		"NothingLost", "HeldStaysBehind", "OrderOfKeys", "AtMostOnce",
	}
	inboxInvariants = []string{"EffectsExactlyOnce", "OffsetNeverPastWork", "KeyOrderOfEffects"}
)

// relayWorld is a world of Relay.tla; the arguments are its constants.
func relayWorld(programs, rollbacks, async, once string, terms, failures, crashes int, zombies bool) world {
	return world{module: "Relay", constants: fmt.Sprintf("Programs <- %s\nRollbacks = {%s}\nAsync = {%s}\nOnce = {%s}\nTerms = %d\nFailures = %d\nCrashes = %d\nZombies = %s\n",
		programs, rollbacks, async, once, terms, failures, crashes, strings.ToUpper(fmt.Sprint(zombies)))}
}

func inboxWorld(owners, claims, failures int) world {
	return world{module: "Inbox", constants: fmt.Sprintf("Records <- Repeated\nOwners = %d\nClaims = %d\nFailures = %d\n", owners, claims, failures)}
}

// The worlds, each as large as a few seconds allow.
var (
	windows = relayWorld("Overlapping", "2", "", "", 1, 0, 0, false)
	restart = relayWorld("Overlapping", "", "", "", 2, 0, 0, false)
	zombies = relayWorld("InTurn", "", "", "", 2, 0, 0, true)
	refused = relayWorld("InTurn", "", "", "", 2, 1, 0, false)
	once    = relayWorld("InTurn", "", "", "", 1, 1, 0, false)
	twice   = relayWorld("InTurn", "", "", "", 1, 2, 0, false)
	claims  = relayWorld("WithOnce", "", "", `"m"`, 3, 0, 0, false)
	crashed = relayWorld("InTurn", "1", "2", "", 2, 0, 1, false)
	owners  = inboxWorld(2, 3, 1)
	retries = inboxWorld(1, 1, 2)
)

// settling is a world without the takeovers that could go on for ever.
func settling(w world) world {
	w.settles = true
	return w
}

// none is the mutation that is none.
const none = "none"

// The models are explored to their end: no invariant is violated, and no state is
// without a next one before all is published and saved, or applied and committed.
func TestNothingIsViolated(t *testing.T) {
	for name, w := range map[string]world{
		"windows": windows, "restart": restart, "zombies": zombies, "refused": refused, "refused twice": twice, "settles": settling(once),
		"claims": claims, "crash": crashed, "owners": owners, "retries": settling(retries),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			explored(t, w, none, invariantsOf(w))
		})
	}
}

// A database clock that is set forward lets two relays publish, and that is all.
func TestAClockSetForwardViolatesNothingElse(t *testing.T) {
	t.Parallel()
	others := slices.DeleteFunc(slices.Clone(relayInvariants), func(name string) bool { return name == "NoZombieSends" })
	explored(t, zombies, "two trust", others)
}

// deadlock stands for a state that is not settled and has no next one.
const deadlock = "a deadlock"

// mutations switch one guard off each, and say what breaks then.
var mutations = []struct {
	mutation, violated string
	world              world
}{
	{"cursor by position", "NothingLost", windows},
	{"window cut by xid", "OrderOfKeys", windows},
	{"uncommitted is read", "NothingUncommitted", windows},
	{"no durability gate", "NothingUncommitted", crashed},
	{"checkpoint before ack", "NothingLost", windows},
	{"checkpoint with gaps", "NothingLost", windows},
	{"no epoch check", "NoZombieSaves", zombies},
	{"no look at trust", "NoZombieSends", zombies},
	{"two trust", "NoZombieSends", zombies},
	{"reclaim by memory", "NothingReclaimedUnpublished", windows},
	{"reclaim without lock", "NothingReclaimedUnpublished", windows},
	{"set aside after the save", "NothingLost", refused},
	{"held overtaken", "HeldStaysBehind", refused},
	{"held keys forgotten", "HeldStaysBehind", refused},
	{"joined before it is saved", "HeldStaysBehind", refused},
	{"flow does not drain", "OrderOfKeys", refused},
	{"flow is ahead of reading", "OrderOfKeys", refused},
	{"no first poll", deadlock, refused}, // a flow waits for ever
	{"sent before its claim", "AtMostOnce", claims},
	{"earlier claims dropped", "AtMostOnce", claims},

	{"id outside the transaction", "EffectsExactlyOnce", retries},
	{"effect outside the transaction", "EffectsExactlyOnce", retries},
	{"each of a batch is new", "EffectsExactlyOnce", retries},
	{"offset before effects", "OffsetNeverPastWork", retries},
	{"set aside in memory", "OffsetNeverPastWork", retries},
	// What the owner before sets aside is known to nobody, and waits for ever.
	{"no fence", deadlock, owners},
	{"claim does not wait", deadlock, owners},
	{"held overtaken", "KeyOrderOfEffects", retries},
	{"held keys forgotten", "KeyOrderOfEffects", owners},
	{"freed after its first", "KeyOrderOfEffects", retries},
}

func TestEachMutationIsFound(t *testing.T) {
	for _, m := range mutations {
		t.Run(m.world.module+": "+m.mutation, func(t *testing.T) {
			t.Parallel()
			// One worker: breadth first, so that the same violation is found each time.
			options := []string{"-workers", "1"}
			if m.violated != deadlock {
				options = append(options, "-deadlock") // which says not to look for one
			}
			out := run(t, m.world, m.mutation, invariantsOf(m.world), options...)
			found := deadlock
			if match := violation.FindStringSubmatch(out); match != nil {
				found = match[1]
			} else if !strings.Contains(out, "Error: Deadlock reached.") {
				t.Fatalf("TLC has not found what this breaks:\n%s", out)
			}
			assert.Equal(t, m.violated, found, out)
			t.Logf("%s, after %d steps", found, strings.Count(out, "\nState ")-1)
		})
	}
}

var mutationInModel = regexp.MustCompile(`Mutation (?:=|#) "([^"]+)"`)

// Every guard that a model can switch off is in the table, and every invariant has
// one that it rests on.
func TestTheTableIsWhole(t *testing.T) {
	for module, invariants := range map[string][]string{"Relay": relayInvariants, "Inbox": inboxInvariants} {
		content, err := os.ReadFile(module + ".tla")
		require.NoError(t, err)
		inModel, violated := map[string]bool{}, map[string]bool{}
		for _, match := range mutationInModel.FindAllStringSubmatch(string(content), -1) {
			inModel[match[1]] = true
		}
		for _, m := range mutations {
			if m.world.module != module {
				continue
			}
			assert.True(t, inModel[m.mutation], "%s knows no mutation %q", module, m.mutation)
			delete(inModel, m.mutation)
			violated[m.violated] = true
		}
		assert.Empty(t, inModel, "mutations of %s that no test expects anything of", module)
		for _, name := range invariants {
			assert.Contains(t, string(content), "\n"+name+" ==", "%s has no invariant of that name", module)
			assert.True(t, violated[name], "no mutation of %s violates %s", module, name)
		}
	}
}

func invariantsOf(w world) []string {
	if w.module == "Relay" {
		return relayInvariants
	}
	return inboxInvariants
}

var (
	violation = regexp.MustCompile(`Invariant (\w+) is violated`)
	counts    = regexp.MustCompile(`(\d+) states generated, (\d+) distinct states found, 0 states left on queue`)
)

// explored runs TLC and expects that it finds nothing in all there is.
func explored(t *testing.T, w world, mutation string, invariants []string) {
	t.Helper()
	out := run(t, w, mutation, invariants, "-workers", "2")
	found := counts.FindAllStringSubmatch(out, -1)
	if !strings.Contains(out, "Model checking completed. No error has been found.") || found == nil {
		t.Fatal(out)
	}
	t.Logf("%s distinct states, all of them", found[len(found)-1][2])
}

// tooLong bounds one run of TLC, which takes seconds on a machine that is idle.
const tooLong = 15 * time.Minute

// run runs TLC in a directory of its own and returns what it says.
func run(t *testing.T, w world, mutation string, invariants []string, options ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), tooLong, fmt.Errorf("TLC did not end within %s", tooLong))
	defer cancel()
	java, classPath := tools(t)
	dir := t.TempDir()
	model, err := os.ReadFile(w.module + ".tla")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, w.module+".tla"), model, 0o600))
	config := fmt.Sprintf("CONSTANTS\n%sMutation = %q\nINVARIANTS\n%s\n", w.constants, mutation, strings.Join(invariants, "\n"))
	if w.settles {
		config += "SPECIFICATION Fair\nPROPERTY EverythingSettles\n"
	} else {
		config += "SPECIFICATION Spec\n"
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, w.module+".cfg"), []byte(config), 0o600))
	// The collector that starts with the least work, because each run is short; TLC
	// unpacks its own modules into the temporary directory.
	arguments := append([]string{"-XX:+UseSerialGC", "-Xmx768m", "-Djava.io.tmpdir=" + dir,
		"-cp", classPath, "tlc2.TLC", "-nowarning", "-metadir", filepath.Join(dir, "states")}, options...)
	cmd := exec.CommandContext(ctx, java, append(arguments, w.module)...)
	localproc.Prepare(cmd, nil)
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	require.NoError(t, context.Cause(ctx), "%s", out)
	if err != nil { // it ends with a number that says what it found
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	return string(out)
}

// oldestJava is what the class files of TLC need.
const oldestJava = 11

// tools finds Java and TLC.
func tools(t *testing.T) (java, classPath string) {
	t.Helper()
	java, err := maven.Java(t.Context(), oldestJava)
	if err == nil {
		classPath, err = maven.ClassPath(t.Context(), "tlc", "integration", "model", "pom.xml")
	}
	if err != nil {
		testservers.Missing(t, "TLC (it needs Java and Maven)", err)
	}
	return java, classPath
}
