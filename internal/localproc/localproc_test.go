package localproc_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tandem-outbox/tandem/internal/localproc"
)

// parentVariable makes this test binary the parent that is killed; it holds the
// directory to work in.
const parentVariable = "LOCALPROC_TEST_PARENT"

func TestMain(m *testing.M) {
	if base := os.Getenv(parentVariable); base != "" {
		beParent(base)
	}
	goleak.VerifyTestMain(m)
}

// beParent starts a program in a directory, says which, and waits to be killed.
func beParent(base string) {
	dir, err := localproc.MakeDir(base, "child-")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	child, err := startSleep(dir.Path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(child.Pid(), dir.Path)
	select {}
}

func startSleep(dir string) (*localproc.Process, error) {
	path, err := exec.LookPath("sleep")
	if err != nil {
		return nil, err
	}
	return localproc.Start(localproc.Command{Path: path, Args: []string{"600"}, LogFile: filepath.Join(dir, "log")})
}

func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ") // a zombie waits for init only
}

func TestNothingOutlivesAKilledParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a program that its parent has died")
	}
	base := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"="+base)
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	words := strings.Fields(line)
	require.Len(t, words, 2, line)
	pid, err := strconv.Atoi(words[0])
	require.NoError(t, err, line)
	require.False(t, gone(pid))

	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	require.Eventually(t, func() bool { return gone(pid) }, 30*time.Second, 10*time.Millisecond)

	require.DirExists(t, words[1])
	next, err := localproc.MakeDir(base, "child-")
	require.NoError(t, err)
	require.NoDirExists(t, words[1], "the next one cleans up")
	next.Remove()
	left, err := os.ReadDir(base)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestDirectoryInUseIsLeftAlone(t *testing.T) {
	base := t.TempDir()
	first, err := localproc.MakeDir(base, "server-")
	require.NoError(t, err)
	defer first.Remove()
	second, err := localproc.MakeDir(base, "server-")
	require.NoError(t, err)
	defer second.Remove()
	require.DirExists(t, first.Path)
}

func TestKillWaits(t *testing.T) {
	p, err := startSleep(t.TempDir())
	require.NoError(t, err)
	require.True(t, p.Running())
	p.Kill()
	require.False(t, p.Running())
	require.Contains(t, p.Ending(), "killed")
	require.NoError(t, p.Signal(syscall.SIGTERM), "an ended program is no error")
}

func TestMissingProgramIsAnError(t *testing.T) {
	_, err := localproc.Start(localproc.Command{Path: "/no/such/program", LogFile: filepath.Join(t.TempDir(), "log")})
	require.ErrorContains(t, err, "/no/such/program")
}

func TestExclusivelyKeepsOthersOut(t *testing.T) {
	const callers = 8
	file := filepath.Join(t.TempDir(), "below", "lock")
	var inside, collisions atomic.Int32
	finished := make(chan error)
	for range callers {
		go func() {
			finished <- localproc.Exclusively(file, func() error {
				if inside.Add(1) > 1 {
					collisions.Add(1)
				}
				runtime.Gosched()
				inside.Add(-1)
				return nil
			})
		}()
	}
	for range callers {
		require.NoError(t, <-finished)
	}
	require.Zero(t, collisions.Load())
}

// Two listeners of one server do not get the same port.
func TestFreePortIsGivenOnce(t *testing.T) {
	t.Parallel()
	given := map[int]bool{}
	for range 1000 { // of 15,000: drawn blindly, some would come twice
		port, err := localproc.FreePort()
		require.NoError(t, err)
		require.False(t, given[port])
		given[port] = true
	}
}
