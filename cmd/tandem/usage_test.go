package main

import (
	"flag"
	"os"
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
