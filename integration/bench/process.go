package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tandem-outbox/tandem/integration/bench/rivals"
	"github.com/tandem-outbox/tandem/internal/localproc"
	"github.com/tandem-outbox/tandem/internal/processes"
)

// process is the running process of a system.
type process struct {
	cmd     *exec.Cmd
	log     string
	began   time.Time     // of its work
	spent   float64       // CPU seconds before that
	exited  chan struct{} // closed when it has ended; then what follows is set
	ended   time.Time
	failure error
}

// startProcess starts a system and returns when it begins to work.
func startProcess(ctx context.Context, system rivals.System, site rivals.Site) (*process, error) {
	cmd, err := system.Command(ctx, site)
	if err != nil {
		return nil, err
	}
	localproc.Prepare(cmd, nil)
	p := &process{cmd: cmd, log: filepath.Join(site.Dir, "process.log"), exited: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = log
	out := io.NopCloser(strings.NewReader(""))
	if system.Memory {
		if out, err = cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	} else {
		cmd.Stdout = log
	}
	p.began = time.Now()
	if err := cmd.Start(); err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("start %s: %w", system.Name, err)
	}
	if system.Memory {
		_, _ = bufio.NewReader(out).ReadString('\n') // if it has ended, that is seen below
		p.began, p.spent = time.Now(), processes.CPU(cmd.Process.Pid).Seconds()
	}
	go func() {
		defer close(p.exited)
		p.failure = cmd.Wait()
		p.ended = time.Now()
		_ = log.Close()
	}()
	return p, nil
}

// kill ends the process, whatever it is doing, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// cpu is what the process has spent on its work, once it has ended.
func (p *process) cpu() float64 {
	state := p.cmd.ProcessState
	return state.UserTime().Seconds() + state.SystemTime().Seconds() - p.spent
}

// failed explains an unexpected end.
func (p *process) failed(system rivals.System) error {
	return fmt.Errorf("%s ended too early (%w); its output ends:\n%s", system.Name, orEarly(p.failure), localproc.Tail(p.log, 20))
}

func orEarly(err error) error {
	if err == nil {
		return fmt.Errorf("without an error")
	}
	return err
}
