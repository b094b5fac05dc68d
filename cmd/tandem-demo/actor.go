package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tandem-outbox/tandem/internal/localproc"
)

// actor is a process that is killed and started again. It dies with the demo.
type actor struct {
	name    string
	command localproc.Command
	// A kill comes this long after a start: long enough to get to work, short
	// enough to be killed at it.
	earliest, latest time.Duration
	random           *rand.Rand

	kills atomic.Int64
}

// cast are the relay and the two consumers.
func cast(o options, w *world, dir string) ([]*actor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	variable, err := w.variable()
	if err != nil {
		return nil, err
	}
	env := append(withoutTandem(os.Environ()), variable)
	relay := &actor{
		name: "relay", earliest: 1200 * time.Millisecond, latest: 2500 * time.Millisecond,
		command: localproc.Command{Path: o.tandem, Args: []string{"relay"}, Env: append(withoutTandem(os.Environ()),
			"TANDEM_DATABASE_URL="+w.Database,
			"TANDEM_KAFKA_BROKERS="+strings.Join(w.Brokers, ","),
			"TANDEM_SCHEMA="+w.Tandem,
			"TANDEM_LEASE=1s")},
	}
	actors := []*actor{relay}
	for _, who := range []string{withInbox, withoutInbox} {
		actors = append(actors, &actor{
			name: "consumer " + who, earliest: w.Session + 500*time.Millisecond, latest: w.Session + 2*time.Second,
			command: localproc.Command{Path: self, Args: []string{"consume", who}, Env: env},
		})
	}
	for i, a := range actors {
		a.random = rand.New(rand.NewPCG(o.seed, uint64(i)))
		a.command.Dir, a.command.LogFile = dir, filepath.Join(dir, fmt.Sprintf("%d.log", i))
	}
	return actors, nil
}

// withoutTandem leaves out what would configure a relay of the user's own.
func withoutTandem(environ []string) []string {
	var rest []string
	for _, pair := range environ {
		if !strings.HasPrefix(pair, "TANDEM_") {
			rest = append(rest, pair)
		}
	}
	return rest
}

// play keeps the process running until ctx ends, and kills it now and then until
// peace does. At the end it is stopped as one should be, and has to end well.
func (a *actor) play(ctx, peace context.Context) error {
	p, err := localproc.Start(a.command)
	if err != nil {
		return err
	}
	defer func() { p.Kill() }()
	timer := time.NewTimer(a.pause())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return a.stop(p)
		case <-p.Exited():
			return fmt.Errorf("the %s ended by itself (%s); it wrote:\n%s", a.name, p.Ending(), p.LogTail(10))
		case <-timer.C:
			if peace.Err() != nil {
				continue
			}
			p.Kill()
			a.kills.Add(1)
			next, err := localproc.Start(a.command)
			if err != nil {
				return err
			}
			p = next
			timer.Reset(a.pause())
		}
	}
}

func (a *actor) pause() time.Duration {
	return a.earliest + time.Duration(a.random.Int64N(int64(a.latest-a.earliest)))
}

const stopTimeout = 15 * time.Second

func (a *actor) stop(p *localproc.Process) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), stopTimeout, fmt.Errorf("the %s did not stop within %v", a.name, stopTimeout))
	defer cancel()
	if err := p.Wait(ctx); err != nil {
		return fmt.Errorf("%w; it wrote:\n%s", err, p.LogTail(10))
	}
	if p.Ending() != "exit status 0" {
		return fmt.Errorf("the %s did not stop well (%s); it wrote:\n%s", a.name, p.Ending(), p.LogTail(10))
	}
	return nil
}
