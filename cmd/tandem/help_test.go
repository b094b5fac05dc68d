package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// everyCommand calls back for all commands but the root.
func everyCommand(visit func(cmd *cobra.Command)) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			visit(c)
			walk(c)
		}
	}
	walk(newRoot(system{stdout: os.Stdout, stderr: os.Stderr}))
}

func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	everyCommand(func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		require.NotEmpty(t, cmd.Short, path)
		require.NotRegexp(t, `\.$`, cmd.Short, path)
		require.NotEmpty(t, cmd.Long, path)
		for line := range strings.Lines(cmd.Long) {
			require.LessOrEqual(t, len([]rune(line)), 90, "%s: %s", path, line)
		}
		if !cmd.HasSubCommands() {
			require.NotEmpty(t, cmd.Example, path)
			require.Contains(t, cmd.Example, path, "its examples show the command itself")
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			s := f.Value.(*setting)
			require.NotEmpty(t, s.usage, "%s --%s", path, s.name)
			require.NotEmpty(t, s.allowed, "%s --%s", path, s.name)
		})
	})
}

// Every command line of an example is one that the program takes: its command is
// there, its flags too, and their values are allowed.
func TestExamplesAreRight(t *testing.T) {
	t.Parallel()
	checked := 0
	check := func(example string) {
		for line := range strings.Lines(example) {
			calls := calls(line)
			require.True(t, len(calls) > 0 || strings.HasPrefix(strings.TrimSpace(line), "export TANDEM_"), "no call of tandem in %q", line)
			for _, args := range calls {
				requireTaken(t, line, args)
				checked++
			}
		}
	}
	check(newRoot(system{}).Example)
	everyCommand(func(cmd *cobra.Command) { check(cmd.Example) })
	require.Greater(t, checked, 40)
}

func requireTaken(t *testing.T, line string, args []string) {
	t.Helper()
	cmd, rest, err := newRoot(system{}).Find(args)
	require.NoError(t, err, line)
	require.NoError(t, cmd.ParseFlags(rest), line)
	require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), line)
	if cmd.HasSubCommands() {
		require.Empty(t, cmd.Flags().Args(), "%s: %s has no such command", line, cmd.CommandPath())
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if s, ok := f.Value.(*setting); ok && s.kind != "file" {
			require.NoError(t, s.parse(s.text), "%s: --%s", line, s.name)
		}
	})
}

var word = regexp.MustCompile(`"[^"]*"|'[^']*'|[|&;<>()#]+|[^\s|&;<>()#"']+`)

// calls are the arguments of tandem where a line of shell calls it.
func calls(line string) (all [][]string) {
	var args []string
	inCall := false
	for _, w := range append(word.FindAllString(line, -1), ";") {
		switch {
		case strings.ContainsAny(w[:1], "|&;<>()#"):
			if inCall {
				all = append(all, args)
			}
			args, inCall = nil, false
			if w == "#" { // a comment
				return all
			}
		case inCall:
			args = append(args, strings.Trim(w, `"'`))
		case w == "tandem":
			inCall = true
		}
	}
	return all
}

func TestCallsOfAnExample(t *testing.T) {
	t.Parallel()
	require.Equal(t, [][]string{{"a", "--b", "c d"}, {"e"}}, calls(`  X=1 tandem a --b "c d" && tandem e > f  # tandem g`))
	require.Equal(t, [][]string{{"h"}}, calls(`source <(tandem h)`))
	require.Empty(t, calls(`export TANDEM_X=tandem`))
}
