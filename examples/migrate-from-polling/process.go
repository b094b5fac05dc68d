package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
)

// What the poller's process is told.
const (
	pollerVariable   = "POLLER_SERVER" // the database server's URL; makes a process a poller
	databaseVariable = "POLLER_DATABASE"
	brokersVariable  = "POLLER_BROKERS"
	crashVariable    = "POLLER_CRASHES" // kill yourself between publishing and deleting
)

// poller is its process.
type poller struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func startPoller(ctx context.Context, s *servers.Servers, environment ...string) (*poller, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	database := s.Pool.Config().ConnConfig
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(append(os.Environ(), environment...), pollerVariable+"="+database.ConnString(),
		databaseVariable+"="+database.Database, brokersVariable+"="+strings.Join(s.Brokers, ","))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // ends with this process, too
	if err != nil {
		return nil, err
	}
	return &poller{cmd: cmd, stdin: stdin}, cmd.Start()
}

// stop lets it end its batch, and waits for that.
func (p *poller) stop() error { return errors.Join(p.stdin.Close(), p.cmd.Wait()) }

// crashPoller runs a poller that is killed between publishing and deleting.
func crashPoller(ctx context.Context, s *servers.Servers) error {
	p, err := startPoller(ctx, s, crashVariable+"=yes")
	if err != nil {
		return err
	}
	defer p.stdin.Close()
	err = p.cmd.Wait()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ctx.Err() == nil {
		if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return nil
		}
	}
	return fmt.Errorf("the poller was to be killed, and ended otherwise: %w", err)
}
