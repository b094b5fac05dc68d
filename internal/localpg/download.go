package localpg

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

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

// fetchInto unpacks a release beside the target and moves it there when it is
// whole.
func fetchInto(ctx context.Context, target string, release embeddedpostgres.PostgresVersion) error {
	scratch, err := os.MkdirTemp(filepath.Dir(target), "unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	programs := filepath.Join(scratch, "programs")

	// The library takes no context. It is given up, not interrupted, when ours
	// ends; then this process is about to end too.
	fetched := make(chan error, 1)
	go func() { fetched <- unpack(scratch, programs, release) }()
	select {
	case err = <-fetched:
	case <-ctx.Done():
		err = context.Cause(ctx)
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
