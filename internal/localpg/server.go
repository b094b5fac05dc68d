package localpg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/localproc"
)

const (
	// stopTimeout bounds a fast shutdown; then it is an immediate one.
	stopTimeout = 20 * time.Second
	// startTimeout bounds a start, crash recovery included.
	startTimeout = 60 * time.Second
	// pollEvery is how often a starting server is asked whether it is ready.
	pollEvery = 20 * time.Millisecond
)

// Server is a PostgreSQL server of our own. Its methods may be called from any
// goroutine; those that start and stop it wait for each other.
type Server struct {
	programs installation
	dir      *localproc.Dir
	user     *localproc.User
	port     int
	password string

	mu      sync.Mutex
	process *localproc.Process
	killed  bool // by Kill, and not started since
}

// Start makes and starts a server. The context bounds the start; the server
// lives until Stop, or until this process ends.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	programs, err := find(ctx, o)
	if err != nil {
		return nil, err
	}
	port, err := localproc.FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := localproc.MakeDir(o.Dir, "tandem-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{programs: programs, dir: dir, user: localproc.Unprivileged(), port: port, password: randomPassword()}
	if err := errors.Join(s.user.CanReach(dir.Path), s.user.CanReach(programs.bin)); err != nil {
		dir.Remove()
		return nil, fmt.Errorf("localpg: %w", err)
	}
	if err := s.initialize(ctx, o); err != nil {
		dir.Remove()
		return nil, err
	}
	if err := s.launch(ctx); err != nil {
		_ = s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) data() string               { return filepath.Join(s.dir.Path, "data") }
func (s *Server) logFile() string            { return filepath.Join(s.dir.Path, "server.log") }
func (s *Server) program(name string) string { return filepath.Join(s.programs.bin, name) }

// Version is the server's major version.
func (s *Server) Version() int { return s.programs.major }

// Port is the server's port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// Program is the path of one of the installation's other programs (pg_dump),
// which a downloaded installation does not have.
func (s *Server) Program(name string) string { return s.program(name) }

// URL is the address of one of the server's databases for its superuser, the
// password included. A fresh server has the database "postgres".
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// launch starts the process and waits until it answers. The caller holds mu,
// or nobody else knows the server yet.
func (s *Server) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout,
		fmt.Errorf("localpg: PostgreSQL %d did not answer within %s", s.programs.major, startTimeout))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if s.process == nil || !s.process.Running() {
			// After Kill the first attempts can fail: backends that outlived their
			// parent still hold its shared memory.
			if s.process != nil && !s.killed {
				return fmt.Errorf("localpg: PostgreSQL %d ended while starting (%s):\n%s",
					s.programs.major, s.process.Ending(), s.process.LogTail(15))
			}
			if err := s.spawn(); err != nil {
				return err
			}
		}
		if s.answers(ctx) {
			s.killed = false
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; its log ends:\n%s", context.Cause(ctx), s.process.LogTail(15))
		}
	}
}

func (s *Server) answers(ctx context.Context) bool {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

// Stop ends the server with a fast shutdown and removes its directory.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.shutdown(syscall.SIGINT)
	s.dir.Remove()
	return err
}
