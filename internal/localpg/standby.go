package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/localproc"
)

// Standby makes and starts a streaming standby of the server, which is stopped
// for as long as its data are copied: downloaded programs have no pg_basebackup.
// The standby's application_name is "standby".
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	port, err := localproc.FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := localproc.MakeDir(filepath.Dir(s.dir.Path), "tandem-postgres-")
	if err != nil {
		return nil, err
	}
	standby := &Server{programs: s.programs, dir: dir, user: s.user, port: port, password: s.password}
	err = s.copyStopped(ctx, standby.data())
	if err == nil {
		err = standby.follow(s)
	}
	if err != nil {
		dir.Remove()
		return nil, fmt.Errorf("localpg: make a standby: %w", err)
	}
	if err := standby.launch(ctx); err != nil {
		_ = standby.Stop()
		return nil, err
	}
	return standby, nil
}

// copyStopped copies the data directory of the server between a stop and a start.
func (s *Server) copyStopped(ctx context.Context, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.shutdown(syscall.SIGINT); err != nil {
		return err
	}
	err := os.CopyFS(to, os.DirFS(s.data()))
	return errors.Join(err, s.spawn(), s.launch(ctx))
}

// follow turns a copy of the primary's data into a standby's.
func (s *Server) follow(primary *Server) error {
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conf, "port = %d\nprimary_conninfo = 'host=127.0.0.1 port=%d user=%s password=%s application_name=standby'\n"+
		"wal_retrieve_retry_interval = 100ms\n", s.port, primary.port, superuser, s.password)
	return errors.Join(err, conf.Close(),
		os.WriteFile(filepath.Join(s.data(), "standby.signal"), nil, 0o600),
		os.Chmod(s.data(), 0o700), // initdb's, which a copy does not keep
		s.user.Own(s.dir.Path))
}

// Promote ends the standby's recovery: it is a primary from then on, on a
// timeline of its own.
func (s *Server) Promote(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var promoted bool
	if err := conn.QueryRow(ctx, `SELECT pg_promote()`).Scan(&promoted); err != nil {
		return err
	}
	if !promoted {
		return errors.New("localpg: the standby was not promoted within pg_promote's time")
	}
	return nil
}
