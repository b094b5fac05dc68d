package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// ErrUnavailable says that this machine has no fitting programs and that they
// could not be downloaded.
var ErrUnavailable = errors.New("localpg: no PostgreSQL to start")

// installation is a directory with the server's programs.
type installation struct {
	bin   string
	major int
}

// places are where packagers put the programs, besides PATH.
var places = []string{
	"/usr/lib/postgresql/*/bin",                               // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                        // the project's RPMs
	"/usr/local/pgsql/bin",                                    // built from source
	"/opt/homebrew/opt/postgresql@*/bin",                      // Homebrew, Apple silicon
	"/usr/local/opt/postgresql@*/bin",                         // Homebrew, Intel
	"/Applications/Postgres.app/Contents/Versions/[0-9]*/bin", // Postgres.app
}

// find returns the programs to use: installed ones that fit, else downloaded.
func find(ctx context.Context, o Options) (installation, error) {
	if !o.Download {
		if found, ok := newest(installed(ctx), o.Version); ok {
			return found, nil
		}
		if ctx.Err() != nil { // nothing answered because nothing may any more
			return installation{}, context.Cause(ctx)
		}
	}
	version := o.Version
	if version == AnyVersion {
		version = DefaultVersion
	}
	bin, err := download(ctx, version)
	if err != nil {
		return installation{}, fmt.Errorf("%w: found no PostgreSQL %s on this machine and could not download it: %w; "+
			"install one (Debian and Ubuntu: apt-get install postgresql), or start one yourself and give its address",
			ErrUnavailable, version, err)
	}
	major, err := strconv.Atoi(version)
	return installation{bin: bin, major: major}, err
}

// newest picks the greatest version that fits the wish.
func newest(all []installation, version string) (installation, bool) {
	fitting := slices.DeleteFunc(slices.Clone(all), func(i installation) bool {
		if version == AnyVersion {
			newestKnown, _ := strconv.Atoi(versions[len(versions)-1])
			return i.major < oldestAny || i.major > newestKnown
		}
		return strconv.Itoa(i.major) != version
	})
	if len(fitting) == 0 {
		return installation{}, false
	}
	return slices.MaxFunc(fitting, func(a, b installation) int { return a.major - b.major }), true
}

// installed lists the complete installations of this machine.
func installed(ctx context.Context) []installation {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		// A link in PATH stands beside none of the other programs.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, place := range places {
		matches, _ := filepath.Glob(place)
		dirs = append(dirs, matches...)
	}
	slices.Sort(dirs)
	var all []installation
	for _, dir := range slices.Compact(dirs) {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		if major, err := majorVersion(ctx, dir); err == nil {
			all = append(all, installation{bin: dir, major: major})
		}
	}
	return all
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// majorVersion asks the server program in dir which version it is.
func majorVersion(ctx context.Context, dir string) (int, error) {
	program := filepath.Join(dir, "postgres")
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask %s for its version: %w", program, err)
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("%s --version answered %q", program, out)
	}
	return strconv.Atoi(string(match[1]))
}
