package main

import (
	"flag"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite what is generated: the files of testdata, docs/cli.md, deploy/tandem.yaml")

// What users read, in one file, so that a change of it is seen.
func TestUsage(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())[1:]
		r := tandem(t, nil, append(path, "--help")...)
		require.Equal(t, exitDone, r.code)
		b.WriteString("$ " + cmd.CommandPath() + " --help\n" + r.stdout + "\n")
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(newRoot(system{stdout: os.Stdout, stderr: os.Stderr}))
	golden(t, "usage.txt", b.String())
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := tandem(t, nil, "version")
	require.Equal(t, exitDone, r.code)
	require.Regexp(t, `^tandem \S+ \(go1\.\S+, \w+/\w+.*\)\n$`, r.stdout)
}

func TestVersionOfEachWayToBuild(t *testing.T) {
	t.Parallel()
	const commit = "41a9924a8cbb3f0c7a4ab8d0b3ed9ed3d0d6e0f2"
	built := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	clone := []debug.BuildSetting{{Key: "vcs.revision", Value: commit}, {Key: "vcs.modified", Value: "true"}}
	for name, c := range map[string]struct {
		stamped, want, commit string
		info                  *debug.BuildInfo
	}{
		"make build":           {"v1.2.3-4-g41a9924", "v1.2.3-4-g41a9924", "", built("(devel)")},
		"a release of a clone": {"v1.2.3", "v1.2.3", ", commit " + commit + ", modified", built("v1.2.3+dirty", clone...)},
		"go install":           {"", "v1.2.3", "", built("v1.2.3")},
		"go build":             {"", "v0.0.0-20260101000000-41a9924a8cbb", ", commit " + commit + ", modified", built("v0.0.0-20260101000000-41a9924a8cbb", clone...)},
		"without git":          {"", "dev", "", built("(devel)")},
		"without modules":      {"", "dev", "", nil},
	} {
		text := versionText(c.stamped, c.info)
		require.Regexp(t, `^tandem `+regexp.QuoteMeta(c.want)+` \(go1\.\S+, \w+/\w+`+c.commit+`, schema \d+\)$`, text, name)
	}
}
