package integration_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/internal/testprograms"
)

// nextMigration is of a release after this one: it needs the log for itself, and
// leaves works_with alone, so that this release's programs go on.
const nextMigration = `-- +goose Up
ALTER TABLE tandem.log ADD COLUMN next text;
UPDATE tandem.settings SET schema_version = %d;
-- +goose Down
ALTER TABLE tandem.log DROP COLUMN next;
UPDATE tandem.settings SET schema_version = %d;
`

// nextRelease builds cmd/tandem as the release after this one will be: written for
// the next version of the schema, which it has the migration for.
func nextRelease(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	replaced := map[string]string{}
	replace := func(path, text string) {
		original, err := filepath.Abs(filepath.Join("..", path))
		require.NoError(t, err)
		replaced[original] = filepath.Join(dir, filepath.Base(path))
		require.NoError(t, os.WriteFile(replaced[original], []byte(text), 0o644))
	}
	version := fmt.Sprintf("Version = %d\n", schema.Version)
	text, err := os.ReadFile("../internal/schema/schema.go")
	require.NoError(t, err)
	require.Contains(t, string(text), version)
	replace("internal/schema/schema.go", strings.Replace(string(text), version, fmt.Sprintf("Version = %d\n", schema.Version+1), 1))
	replace(fmt.Sprintf("migrations/sql/%05d_next.sql", schema.Version+1), fmt.Sprintf(nextMigration, schema.Version+1, schema.Version))

	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	require.NoError(t, err)
	list := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(list, overlay, 0o644))
	testprograms.Build(t, dir, "-overlay", list, "-ldflags", "-X main.version=next", "../cmd/tandem")
	return filepath.Join(dir, "tandem")
}

// migrate runs "tandem migrate" as the owner of the schema.
func (s *shop) migrate(t testing.TB, binary string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"migrate"}, arguments...)...)
	cmd.Env = append(testprograms.Environ(), "TANDEM_DATABASE_URL="+s.url)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// stop is a clean stop.
func (p *relayProcess) stop(t testing.TB) {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.Wait())
}

// As docs/upgrading.md has it: the schema first, then the relays one by one, and back
// again, while writers work all the time. Nothing is lost, and nothing published twice.
func TestARollingUpgradeAndBack(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3)
	old, next := program(t, "tandem"), nextRelease(t)
	done := make(chan struct{})
	var rounds uint64
	write := func() {
		rounds++
		round := rounds
		done = make(chan struct{})
		go func(done chan<- struct{}) {
			defer close(done)
			s.writeAtRandom(t, round)
		}(done)
	}

	write()
	first, second := s.startRelay(t, old), s.startRelay(t, old)
	s.awaitTopic(t, 1)
	require.Contains(t, s.migrate(t, next, "up"), "_next.sql")
	require.Contains(t, s.migrate(t, old, "up"), "up to date")
	<-done

	write() // an old one has to start again in the meantime
	second.stop(t)
	second = s.startRelay(t, old)
	second.awaitLog(t, "the schema is newer than this program, and works with it")
	<-done

	write() // the old ones are replaced one by one
	third := s.startRelay(t, next)
	third.awaitLog(t, "standing by")
	first.stop(t)
	fourth := s.startRelay(t, next)
	second.stop(t)
	<-done
	require.Eventually(t, func() bool { return s.leads(t, third, fourth) }, time.Minute, 20*time.Millisecond)

	write() // and back
	fifth := s.startRelay(t, old)
	third.stop(t)
	fourth.stop(t)
	require.Contains(t, s.migrate(t, next, "down", "--to", fmt.Sprint(schema.Version)), "took back")
	<-done
	require.Eventually(t, func() bool { return s.leads(t, fifth) }, time.Minute, 20*time.Millisecond)

	require.Zero(t, s.read(t).repeats)
}

// leads tells whether one of the relays holds the lease.
func (s *shop) leads(t testing.TB, relays ...*relayProcess) bool {
	t.Helper()
	pid := s.leader(t)
	for _, r := range relays {
		if r.Process.Pid == pid {
			return true
		}
	}
	return false
}
