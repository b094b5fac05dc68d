package testservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandem-outbox/tandem/internal/localproc"
)

// PgBouncer starts a PgBouncer of this test's own before the server of that URL and
// returns the URL that leads there through it. settings are lines of its [pgbouncer]
// section. Users and passwords are those of the URLs, one at least; the test's URL is
// the first's. It leaves out what the tests' URLs ask of a session, role and search_path.
func PgBouncer(t testing.TB, settings string, urls ...string) string {
	t.Helper()
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		binary, err = exec.LookPath("/usr/sbin/pgbouncer")
	}
	if err != nil {
		Missing(t, "PgBouncer", errors.New("install the package pgbouncer"))
	}
	dir, err := localproc.MakeDir("", "tandem-pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.Remove)
	port, err := localproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(urls[0])
	if err != nil {
		t.Fatal("not a URL") // which may have a password in it
	}
	var users strings.Builder
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal("not a URL")
		}
		password, _ := u.User.Password()
		fmt.Fprintf(&users, "%q %q\n", u.User.Username(), password)
	}
	ini := fmt.Sprintf("[databases]\n* = host=%s port=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"+
		"auth_type = trust\nauth_file = %s/users.txt\n"+
		"ignore_startup_parameters = role,search_path\n%s\n", server.Hostname(), server.Port(), port, dir.Path, settings)
	for name, text := range map[string]string{"users.txt": users.String(), "pgbouncer.ini": ini} {
		if err := os.WriteFile(filepath.Join(dir.Path, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	user := localproc.Unprivileged()
	if err := errors.Join(user.Own(dir.Path), user.CanReach(dir.Path)); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir.Path, "log")
	p, err := localproc.Start(localproc.Command{Path: binary, Args: []string{filepath.Join(dir.Path, "pgbouncer.ini")}, Dir: dir.Path, User: user, LogFile: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("PgBouncer said:\n%s", p.LogTail(30))
		}
	})
	through := *server
	through.Host = net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	awaitPgBouncer(t, p, through.Host)
	return through.String()
}

func awaitPgBouncer(t testing.TB, p *localproc.Process, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-p.Exited():
			t.Fatalf("PgBouncer ended, %s: %s", p.Ending(), p.LogTail(10))
		case <-ctx.Done():
			t.Fatalf("PgBouncer does not answer: %v", err)
		case <-tick.C:
		}
	}
}
