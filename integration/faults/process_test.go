package faults_test

import (
	"bytes"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/tandem-outbox/tandem/internal/testlinks"
)

// exitLimit is how long a process may take to end when it is asked to.
const exitLimit = time.Minute

// process is a relay or a consumer: its network, and one process after another.
type process struct {
	run         *run
	name        string
	path        string
	arguments   []string
	environment []string
	postgres    *testlinks.Postgres
	kafka       *testlinks.Kafka
	http        string // where it serves metrics, if it does
	restarted   bool   // it was ended on the way, and does not remember what it has counted

	busy sync.Mutex // held by who does something to it

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	wanted bool // to end
	output bytes.Buffer
	stdout bytes.Buffer // of the last one
	state  *os.ProcessState
}

// start runs it until end.
func (p *process) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(p.path, p.arguments...)
	cmd.Env = append(os.Environ(), p.environment...)
	p.stdout.Reset()
	cmd.Stdout, cmd.Stderr = &p.stdout, &locked{mu: &p.mu, to: &p.output}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.output.WriteString("--- " + time.Now().Format(timeFormat) + " started\n")
	if err := cmd.Start(); err != nil {
		p.run.fail("start %s: %v", p.name, err)
		return
	}
	p.cmd, p.wanted, p.exited = cmd, false, make(chan struct{})
	go p.wait(cmd, p.exited)
}

func (p *process) wait(cmd *exec.Cmd, exited chan struct{}) {
	_ = cmd.Wait() // how it ended is in ProcessState
	p.mu.Lock()
	wanted := p.wanted
	p.state = cmd.ProcessState
	p.mu.Unlock()
	if !wanted {
		p.run.fail("%s has ended by itself: %s", p.name, cmd.ProcessState)
	}
	close(exited)
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // one that is gone was told of
	}
}

// end ends it by a signal, and waits for that. One that is asked to end has to, and
// without an error.
func (p *process) end(s syscall.Signal) {
	p.mu.Lock()
	if p.cmd == nil {
		p.mu.Unlock()
		return
	}
	p.wanted = true
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	_ = cmd.Process.Signal(s)
	select {
	case <-exited:
	case <-time.After(exitLimit):
		p.run.fail("%s has not ended %s after %s", p.name, exitLimit, s)
		_ = cmd.Process.Signal(syscall.SIGQUIT) // its goroutines are in its output
		select {
		case <-exited:
		case <-time.After(5 * time.Second):
		}
		_ = cmd.Process.Kill()
		<-exited
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	// One that has only just begun does not know the signal yet.
	if status := p.state.Sys().(syscall.WaitStatus); s == syscall.SIGTERM && !p.state.Success() && status.Signal() != syscall.SIGTERM {
		p.run.fail("%s was asked to end: %s", p.name, p.state)
	}
}

// kill ends it without a word, at the end of the test.
func (p *process) kill() {
	p.signal(syscall.SIGCONT)
	p.end(syscall.SIGKILL)
}

// text is what it has said.
func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// locked is a buffer that is read while it is written to.
type locked struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (l *locked) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(text)
}
