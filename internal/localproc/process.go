package localproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// Command says what to run.
type Command struct {
	Path string
	Args []string
	Dir  string
	// Env is the whole environment; nil means none of ours is inherited.
	Env []string
	// User runs the program as somebody else; nil means as ourselves.
	User *User
	// LogFile receives stdout and stderr, appended.
	LogFile string
	// OnParentDeath is what the program is sent when we die (Linux only).
	// Defaults to SIGKILL.
	OnParentDeath syscall.Signal
}

// Process is a running program.
type Process struct {
	pid     int
	logFile string
	exited  chan struct{}

	mu  sync.Mutex
	err error
}

// Start runs the program. Its end is collected by a goroutine of its own, so
// the caller must see to it that the program ends: Kill, or a signal and Wait.
func Start(c Command) (*Process, error) {
	log, err := os.OpenFile(c.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", c.Path, err)
	}
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env = c.Dir, append([]string{}, c.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes(c.User, c.OnParentDeath)

	p := &Process{logFile: c.LogFile, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the death signal when the *thread* that started the
		// program ends, so that thread is kept until the program has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			p.setErr(cmd.Wait())
		}
		_ = log.Close()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	return p, nil
}

// Pid is the process id of the program.
func (p *Process) Pid() int { return p.pid }

// Exited is closed when the program has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Ending says for people how the program ended.
func (p *Process) Ending() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err.Error()
	}
	return "exit status 0"
}

func (p *Process) setErr(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// Running tells whether the program has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Wait returns when the program has ended, or with the context's error.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Signal sends a signal to the program alone. An ended program is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	if !p.Running() {
		return nil
	}
	if err := signalProcess(p.pid, sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to process %d: %w", sig, p.pid, err)
	}
	return nil
}

// Kill ends the program and its process group with SIGKILL and waits for it.
func (p *Process) Kill() {
	if p.Running() {
		killGroup(p.pid)
	}
	<-p.exited
}

// LogTail returns the last lines of the program's output, for error messages.
func (p *Process) LogTail(lines int) string { return Tail(p.logFile, lines) }

// Tail returns the last lines of a file, or nothing when it cannot be read.
func Tail(file string, lines int) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
