package localpg

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tandem-outbox/tandem/internal/localproc"
)

// superuser is the only role of a fresh server.
const superuser = "postgres"

// initialize makes the data directory with initdb.
func (s *Server) initialize(ctx context.Context, o Options) error {
	secret := filepath.Join(s.dir.Path, "password")
	if err := os.WriteFile(secret, []byte(s.password+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(secret)
	if err := s.user.Own(s.dir.Path); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, s.program("initdb"),
		"--pgdata", s.data(), "--username", superuser, "--pwfile", secret,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C",
		"--no-sync") // the server syncs what it writes; initdb need not
	cmd.Dir, cmd.Env = s.dir.Path, environment()
	localproc.Prepare(cmd, s.user)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("localpg: initdb of PostgreSQL %d: %w\n%s", s.programs.major, err, strings.TrimSpace(string(out)))
	}
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := conf.WriteString(o.conf(s.port)); err != nil {
		_ = conf.Close()
		return err
	}
	return conf.Close()
}

// environment is all that the server's programs inherit: a PGPORT or PGDATA of
// ours must not lead them astray.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

func randomPassword() string { return rand.Text() }
