package localpg

import (
	"context"
	"errors"
	"syscall"

	"github.com/tandem-outbox/tandem/internal/localproc"
)

// StopImmediate ends the server as "pg_ctl stop -m immediate" does: nothing is
// flushed, the next start recovers from the WAL.
func (s *Server) StopImmediate() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shutdown(syscall.SIGQUIT)
}

// Kill ends the server's first process with SIGKILL. Its backends notice and
// end by themselves, a moment later.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.Kill()
	s.killed = true
}

// Restart starts the server again with the same data on the same port; one that
// is still running is first stopped with a fast shutdown.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.shutdown(syscall.SIGINT); err != nil {
		return err
	}
	if err := s.spawn(); err != nil {
		return err
	}
	return s.launch(ctx)
}

func (s *Server) spawn() (err error) {
	s.process, err = localproc.Start(localproc.Command{
		Path:    s.program("postgres"),
		Args:    []string{"-D", s.data()},
		Dir:     s.dir.Path,
		Env:     environment(),
		User:    s.user,
		LogFile: s.logFile(),
		// An immediate shutdown takes the backends and the shared memory along.
		OnParentDeath: syscall.SIGQUIT,
	})
	return err
}

// shutdown sends the signal and waits; a server that takes too long is stopped
// immediately, and then killed.
func (s *Server) shutdown(sig syscall.Signal) error {
	if s.process == nil {
		return nil
	}
	for _, sig := range []syscall.Signal{sig, syscall.SIGQUIT} {
		if err := s.process.Signal(sig); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		err := s.process.Wait(ctx)
		cancel()
		if err == nil {
			return nil
		}
	}
	s.process.Kill()
	return errors.New("localpg: the server did not stop when told to and was killed")
}
