package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// shell is one that can complete the program's command lines.
type shell struct {
	name     string
	generate func(root *cobra.Command, w io.Writer) error
	long     string
	example  string
}

var shells = []shell{
	{
		name: "bash", generate: func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		long: `Prints what bash needs to complete command lines of tandem. The package
bash-completion must be installed. The first example is for this shell alone; the
second is for every new one, and its directory has to be there (mkdir -p).`,
		example: `  source <(tandem completion bash)
  tandem completion bash > ~/.local/share/bash-completion/completions/tandem`,
	},
	{
		name: "zsh", generate: func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
		long: `Prints what zsh needs to complete command lines of tandem. Its completion must be
switched on: "autoload -U compinit; compinit" in ~/.zshrc. The first example is for
this shell alone; the second is for every new one, by any directory of $fpath.`,
		example: `  source <(tandem completion zsh)
  tandem completion zsh > /usr/local/share/zsh/site-functions/_tandem`,
	},
	{
		name: "fish", generate: func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
		long: `Prints what fish needs to complete command lines of tandem. The first example is for
this shell alone; the second is for every new one, and its directory has to be
there (mkdir -p).`,
		example: `  tandem completion fish | source
  tandem completion fish > ~/.config/fish/completions/tandem.fish`,
	},
	{
		name: "powershell", generate: func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) },
		long: `Prints what PowerShell needs to complete command lines of tandem. The example is for
this shell alone; for every new one put its line into the file that $PROFILE names.`,
		example: `  tandem completion powershell | Out-String | Invoke-Expression`,
	},
}

// newCompletion stands in the place of cobra's own command of that name.
func newCompletion(sys system) *cobra.Command {
	var all []*cobra.Command
	for _, s := range shells {
		cmd := &cobra.Command{Use: s.name, Short: "Print the script for " + s.name, Long: s.long, Example: s.example}
		all = append(all, configure(cmd, sys, nil, func(context.Context) error { return s.generate(cmd.Root(), sys.stdout) }))
	}
	return subcommands(&cobra.Command{
		Use:   "completion",
		Short: "Have a shell complete commands, flags and their values",
		Long: `Prints a script for a shell, which then completes tandem's commands, flags, and
values of flags where there is a choice of them. The help of each command below says
where the script goes.`,
	}, all...)
}

// complete tells a shell what may stand as the setting's value.
func (s *setting) complete(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	switch {
	case s.name == "config":
		return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	case s.kind == "file":
		return nil, cobra.ShellCompDirectiveDefault
	case s.kind == "directory":
		return nil, cobra.ShellCompDirectiveFilterDirs
	case s.join != "" && len(s.values) > 0:
		return further(s.values, s.join, typed), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	return s.values, cobra.ShellCompDirectiveNoFileComp
}

// further are the values that a list may go on with.
func further(values []string, between, typed string) (all []cobra.Completion) {
	before := typed[:strings.LastIndex(typed, between)+1]
	have := strings.Split(before, between)
	for _, v := range values {
		if !slices.Contains(have, v) && (before == "" || v != allStates) {
			all = append(all, before+v)
		}
	}
	return all
}
