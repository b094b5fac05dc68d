package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// stage is a place with both programs and a temporary directory of its own, in
// which everything that is left behind is found.
type stage struct{ dir, temp string }

func setStage(t *testing.T) stage {
	t.Helper()
	s := stage{dir: t.TempDir()}
	s.temp = filepath.Join(s.dir, "tmp")
	require.NoError(t, os.Mkdir(s.temp, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(s.dir), 0o755), "the server may run as somebody else")
	testprograms.Build(t, s.dir, ".", "../tandem")
	return s
}

// demo is the running program.
type demo struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	lines          chan string // each line of stdout, until it is closed
}

func (s stage) demo(t *testing.T, args ...string) *demo {
	t.Helper()
	d := &demo{cmd: exec.Command(filepath.Join(s.dir, "tandem-demo"), args...), lines: make(chan string, 1000)}
	d.cmd.Env = append(os.Environ(), "TMPDIR="+s.temp, "TANDEM_SCHEMA=must_not_matter")
	d.cmd.Stderr = &d.stderr
	read, write, err := os.Pipe()
	require.NoError(t, err)
	d.cmd.Stdout = write
	require.NoError(t, d.cmd.Start())
	require.NoError(t, write.Close())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(d.lines)
		var rest string
		buffer := make([]byte, 4096)
		for {
			n, err := read.Read(buffer)
			d.stdout.Write(buffer[:n])
			rest += string(buffer[:n])
			for {
				line, after, found := strings.Cut(rest, "\n")
				if !found {
					break
				}
				d.lines <- line
				rest = after
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
		<-done
		_ = read.Close()
	})
	return d
}

// await returns once a line contains text.
func (d *demo) await(t *testing.T, text string) {
	t.Helper()
	for line := range d.lines {
		if strings.Contains(line, text) {
			return
		}
	}
	_ = d.cmd.Wait()
	t.Fatalf("the demo ended without %q:\n%s%s", text, &d.stdout, &d.stderr)
}

// end waits for the end and returns the exit code.
func (d *demo) end(t *testing.T) int {
	t.Helper()
	for range d.lines { // until stdout is closed
	}
	err := d.cmd.Wait()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		require.True(t, ended.Exited(), err)
		return ended.ExitCode()
	}
	require.NoError(t, err)
	return 0
}

// requireNothingLeft looks for files, and for processes that come from here.
func (s stage) requireNothingLeft(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(s.temp)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Empty(t, s.processes(t))
}

// processes are those with the stage's directory in their command line.
func (s stage) processes(t *testing.T) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), s.dir) {
			found = append(found, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return found
}

// figure is a row of the table.
func figure(t *testing.T, out, name string) int {
	t.Helper()
	row := regexp.MustCompile(`(?m)^ *` + name + ` +([0-9,]+)`).FindStringSubmatch(out)
	require.NotNil(t, row, "no row %q in:\n%s", name, out)
	n, err := strconv.Atoi(strings.ReplaceAll(row[1], ",", ""))
	require.NoError(t, err)
	return n
}

func TestTheDemoKeepsItsPromises(t *testing.T) {
	t.Parallel()
	s := setStage(t)
	d := s.demo(t, "--duration=6s", "--rate=300", "--seed=7")
	require.Equal(t, exitDone, d.end(t), "%s%s", &d.stdout, &d.stderr)
	out := d.stdout.String()
	orders := figure(t, out, "orders committed")
	require.Positive(t, orders)
	require.Positive(t, figure(t, out, "orders rolled back"))
	require.Equal(t, orders, figure(t, out, "charges with inbox"))
	require.GreaterOrEqual(t, figure(t, out, "charges without inbox"), orders)
	require.Equal(t, orders+figure(t, out, "duplicates among them"), figure(t, out, "records in the topic"))
	for _, none := range []string{"rolled-back orders found", "committed orders missing", "out of order within a key"} {
		require.Zero(t, figure(t, out, none))
	}
	for _, who := range []string{"relay", "consumer with-inbox", "consumer without-inbox"} {
		require.Positive(t, figure(t, out, "SIGKILLs of the "+who))
	}
	require.Contains(t, out, "Every promise was kept.")
	s.requireNothingLeft(t)
}

func TestCtrlCLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := setStage(t)
	for _, when := range []string{"Setting the stage", "Ready", "orders"} {
		d := s.demo(t)
		d.await(t, when)
		require.NoError(t, d.cmd.Process.Signal(syscall.SIGINT))
		require.Equal(t, exitInterrupted, d.end(t), "%s: %s%s", when, &d.stdout, &d.stderr)
		require.Contains(t, d.stderr.String(), "interrupted")
		s.requireNothingLeft(t)
	}
}

// A demo that is killed itself takes its processes along; its directories go
// with the next run.
func TestAKilledDemoLeavesNoProcess(t *testing.T) {
	t.Parallel()
	s := setStage(t)
	d := s.demo(t)
	d.await(t, "orders")
	require.NoError(t, d.cmd.Process.Kill())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for len(s.processes(t)) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("still there:", s.processes(t))
		}
	}
	next := s.demo(t)
	next.await(t, "Ready")
	require.NoError(t, next.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, exitInterrupted, next.end(t))
	s.requireNothingLeft(t)
}
