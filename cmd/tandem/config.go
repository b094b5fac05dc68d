package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func newConfig(sys system) *cobra.Command {
	return subcommands(&cobra.Command{
		Use:   "config",
		Short: "Write and check the file that settings may stand in",
		Long: `A file of settings is YAML with a key for each flag, without its dashes. Every
command takes it by --config or TANDEM_CONFIG, and of its keys what it needs. A flag
wins over a variable of the environment, and that over the file.`,
	}, newConfigSample(sys), newConfigCheck(sys))
}

func newConfigSample(sys system) *cobra.Command {
	return configure(&cobra.Command{
		Use:   "sample",
		Short: "Print a file with every setting, its meaning and its default",
		Long: `Prints a file with every setting that a file may hold: what it means, what is
allowed, its default. What must be set is set to an example; all else is commented
out, with a value that is allowed.`,
		Example: `  tandem config sample > tandem.yaml`,
	}, sys, nil, func(context.Context) error {
		_, err := io.WriteString(sys.stdout, sampleFile())
		return err
	})
}

func newConfigCheck(sys system) *cobra.Command {
	var o relayOptions
	settings := o.settings()
	return configure(&cobra.Command{
		Use:   "check",
		Short: "Check the settings of tandem relay, and show where each comes from",
		Long: `Checks the settings of tandem relay as that would find them here, from flags, the
environment and the file, and shows each with its value and where it comes from.
Passwords are not shown. What is wrong is listed, all of it, with exit code 2. No
server is asked: that is what tandem doctor does.`,
		Example: `  tandem config check --config tandem.yaml
  TANDEM_LEASE=2s tandem config check --config tandem.yaml`,
	}, sys, settings, func(context.Context) error { return showSettings(sys.stdout, withAlso(settings)) })
}

func showSettings(w io.Writer, settings []*setting) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SETTING\tVALUE\tFROM")
	for _, s := range settings {
		from := cmp.Or(strings.TrimSuffix(s.source, ": "+s.name), "default")
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.name, s.disclosed(), from)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "The settings are right; tandem doctor looks at what they lead to.")
	return err
}

// disclosed is the value as anybody may see it.
func (s *setting) disclosed() string {
	switch {
	case s.text == "":
		return s.unset()
	case s.redacted != nil:
		return s.redacted()
	case s.secret:
		return "(hidden)"
	}
	return s.text
}

// unset is what holds where nothing is given, in words.
func (s *setting) unset() string { return cmp.Or(s.initial, s.shown, "none") }

// sampleFile is a file with every setting that a file may hold.
func sampleFile() string {
	var b strings.Builder
	b.WriteString(`# The settings of tandem, as "tandem config sample" prints them. A command reads the
# file that --config or TANDEM_CONFIG names. Flags win over the environment (TANDEM_
# and the key in upper case), and that over this file. A key right behind its "#" is
# not in force: its value is an example.
`)
	var o relayOptions
	for _, g := range o.groups() {
		fmt.Fprintf(&b, "\n# %s\n", g.title+" "+strings.Repeat("-", 80-len(g.title)))
		for _, s := range withAlso(g.settings) {
			b.WriteString("\n" + s.sample())
		}
	}
	return b.String()
}

// sample is the setting's part of that file.
func (s *setting) sample() string {
	text := sentence(s.usage) + " Allowed: " + s.allowed + "."
	off := "#"
	if s.required {
		off = ""
		text += " It must be set."
	} else {
		text += " Default: " + s.unset() + "."
	}
	return wrapped(text, "# ", 84) + fmt.Sprintf("%s%s: %s\n", off, s.name, s.example)
}

// sentence begins with a capital letter and ends with a stop.
func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

// wrapped is a text in lines of at most width letters, each behind prefix.
func wrapped(text, prefix string, width int) string {
	var b strings.Builder
	line := prefix
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > width {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = prefix
		}
		line += word + " "
	}
	return b.String() + strings.TrimRight(line, " ") + "\n"
}
