package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"github.com/tandem-outbox/tandem/internal/localproc"
)

var releases = map[string]embeddedpostgres.PostgresVersion{
	"14": embeddedpostgres.V14,
	"15": embeddedpostgres.V15,
	"16": embeddedpostgres.V16,
	"17": embeddedpostgres.V17,
	"18": embeddedpostgres.V18,
}

// download returns the directory of the programs of a major version, fetched
// and unpacked by the first process that needs them.
func download(ctx context.Context, version string) (string, error) {
	cache, err := localproc.CacheDir()
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("postgresql-%s-%s-%s", releases[version], runtime.GOOS, runtime.GOARCH)
	target := filepath.Join(cache, name)
	err = localproc.Exclusively(target+".lock", func() error {
		if _, err := majorVersion(ctx, filepath.Join(target, "bin")); err == nil {
			return nil
		}
		return fetchInto(ctx, target, releases[version])
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(target, "bin"), nil
}

// giveUpTimeout is how long a download that nobody wants any more may take to
// end, so that what it has written can be removed.
const giveUpTimeout = 10 * time.Second

// fetchInto unpacks a release beside the target and moves it there when it is
// whole. The caller holds the target's lock, so what an earlier one has left is
// nobody's.
func fetchInto(ctx context.Context, target string, release embeddedpostgres.PostgresVersion) error {
	abandoned, _ := filepath.Glob(target + ".unpack-*")
	for _, dir := range abandoned {
		_ = os.RemoveAll(dir)
	}
	scratch, err := os.MkdirTemp(filepath.Dir(target), filepath.Base(target)+".unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	defer removeLibraryLogs()
	programs := filepath.Join(scratch, "programs")

	// The library takes no context. When ours ends it gets a while to finish;
	// then it is given up, and this process is about to end too.
	fetched := make(chan error, 1)
	go func() { fetched <- unpack(scratch, programs, release) }()
	select {
	case err = <-fetched:
	case <-ctx.Done():
		err = context.Cause(ctx)
		select {
		case failed := <-fetched:
			err = errors.Join(err, failed)
		case <-time.After(giveUpTimeout):
		}
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(scratch, 0o755); err != nil {
		return err
	}
	if _, err := majorVersion(ctx, filepath.Join(programs, "bin")); err != nil {
		return fmt.Errorf("the downloaded PostgreSQL %s does not run here: %w", release, err)
	}
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	return os.Rename(programs, target)
}

// unpack makes the library do the first half of its Start, download and unpack.
// Starting servers is our own business, the same for programs of either source,
// and initdb refuses to run as root anyway; so the second half is made to fail
// at its first step, for everybody, by a locale that does not exist. How far
// the library came shows in the data directory: clearing it is what it does
// between unpacking and initdb.
func unpack(scratch, programs string, release embeddedpostgres.PostgresVersion) error {
	port, err := localproc.FreePort()
	if err != nil {
		return err
	}
	defer http.DefaultClient.CloseIdleConnections() // the library's; they would leave goroutines
	marker := filepath.Join(scratch, "data", "not-unpacked-yet")
	if err := os.MkdirAll(marker, 0o755); err != nil {
		return err
	}
	server := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(release).
		Port(uint32(port)).
		Locale("no-such-locale").
		CachePath(filepath.Join(scratch, "archive")).
		RuntimePath(filepath.Join(scratch, "runtime")).
		BinariesPath(programs).
		DataPath(filepath.Dir(marker)).
		Logger(io.Discard))
	if err := server.Start(); err == nil {
		return server.Stop() // it found the locale after all; we have what we want
	} else if _, missing := os.Stat(marker); missing == nil {
		return err
	}
	return nil
}

// removeLibraryLogs removes the empty log that the library makes in the system's
// temporary directory and forgets, open. Files of that name which this process
// has not open are somebody else's.
func removeLibraryLogs() {
	logs, _ := filepath.Glob(filepath.Join(os.TempDir(), "embedded_postgres_log*"))
	open, _ := filepath.Glob("/dev/fd/*")
	for _, log := range logs {
		info, err := os.Stat(log)
		for _, fd := range open {
			if mine, statErr := os.Stat(fd); err == nil && statErr == nil && os.SameFile(info, mine) {
				_ = os.Remove(log)
			}
		}
	}
}
