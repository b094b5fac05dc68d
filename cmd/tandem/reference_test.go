package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// docs/cli.md is what the commands say of themselves. It is written here rather than
// by a command, so that the program carries no generator of documents.
func TestReference(t *testing.T) {
	t.Parallel()
	golden(t, "../../../docs/cli.md", reference())
}

func reference() string {
	root := newRoot(system{stdout: os.Stdout, stderr: os.Stderr})
	p := &page{groupOf: map[string]string{}}
	var o relayOptions
	for _, g := range o.groups() {
		for _, s := range withAlso(g.settings) {
			p.groupOf[s.name] = g.title
		}
	}
	p.line("# Command line")
	p.line(`Everything that can be said to tandem. This page is generated: "tandem help" and the
flag --help of each command say the same.`)
	p.prose(root.Long)
	p.line("| exit code | |\n|---|---|\n" +
		"| 0 | done |\n" +
		"| 1 | failed: the last line on stderr says what, where and what to do next |\n" +
		"| 2 | wrong usage, or wrong settings: all of them are listed; nothing was done |")
	p.contents(root)
	p.line("## Commands")
	p.line(`Settings, which a file and the environment may have as well as flags, stand in a
[section of their own](#settings); with each command are its own flags, which only a
command line has.`)
	p.commands(root)
	p.line("## Settings")
	p.line("Each is a flag, a variable of the environment, or a key of a file, which is the\n" +
		"flag's name without its dashes. Every command with settings also has `--config`\n" +
		"(`TANDEM_CONFIG`), which names the file; [tandem.yaml](../deploy/tandem.yaml) is one\n" +
		"with all of them.")
	for _, g := range o.groups() {
		p.line("### " + g.title)
		p.settings(withAlso(g.settings))
	}
	return p.b.String()
}

// page is Markdown as it grows.
type page struct {
	b       strings.Builder
	groupOf map[string]string // the groups of settings, by name
}

// line is a paragraph, a title or a table.
func (p *page) line(text string) {
	if p.b.Len() > 0 {
		p.b.WriteString("\n")
	}
	p.b.WriteString(text + "\n")
}

// prose is a text for a terminal: what is indented there stays as it is.
func (p *page) prose(text string) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(paragraph, "  ") {
			p.fenced(paragraph)
		} else {
			p.line(escaped(paragraph))
		}
	}
}

func (p *page) fenced(text string) {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	p.line("```text\n" + strings.Join(lines, "\n") + "\n```")
}

// escaped is a text in which Markdown and HTML find nothing of theirs.
func escaped(text string) string {
	return strings.NewReplacer("<", "&lt;", "*", `\*`, "|", `\|`).Replace(text)
}

func anchor(title string) string {
	return strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(title, ",", "")), " ", "-")
}

// contents is a list of all commands.
func (p *page) contents(cmd *cobra.Command) {
	if cmd.HasParent() {
		fmt.Fprintf(&p.b, "- [%s](#%s): %s\n", cmd.CommandPath(), anchor(cmd.CommandPath()), escaped(cmd.Short))
	} else {
		p.b.WriteString("\n")
	}
	for _, c := range cmd.Commands() {
		p.contents(c)
	}
}

// commands are those below cmd, each with what it says.
func (p *page) commands(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		p.line("### " + c.CommandPath())
		p.line(escaped(c.Short) + ".")
		p.line("```text\n" + strings.Replace(c.UseLine(), " [flags]", "", 1) + map[bool]string{true: " [flags]"}[c.HasAvailableLocalFlags()] + "\n```")
		p.prose(c.Long)
		p.ownFlags(c)
		p.itsSettings(c)
		if c.Example != "" {
			p.line("For example:")
			p.fenced(c.Example)
		}
		p.commands(c)
	}
}

// flagsOf are a command's flags, those that are settings and the others.
func flagsOf(cmd *cobra.Command) (settings, own []*setting) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		s, ok := f.Value.(*setting)
		switch {
		case !ok || s.name == "config":
		case s.flagOnly:
			own = append(own, s)
		default:
			settings = append(settings, s)
		}
	})
	return settings, own
}

func (p *page) ownFlags(cmd *cobra.Command) {
	_, own := flagsOf(cmd)
	if len(own) == 0 {
		return
	}
	p.line("| flag | default | |\n|---|---|---|")
	for _, s := range own {
		name := "--" + s.name
		if !s.toggle {
			name += " " + strings.ReplaceAll(s.kind, "|", `\|`) // a table's cells end at one
		}
		fmt.Fprintf(&p.b, "| `%s` | %s | %s |\n", name, defaultOf(s), meaning(s))
	}
}

// itsSettings are the settings of a command, by their groups.
func (p *page) itsSettings(cmd *cobra.Command) {
	settings, _ := flagsOf(cmd)
	var o relayOptions
	var parts []string
	for _, g := range o.groups() {
		var names []string
		for _, s := range settings {
			if p.groupOf[s.name] == g.title {
				names = append(names, "`--"+s.name+"`")
			}
		}
		if len(names) > 0 {
			parts = append(parts, fmt.Sprintf("- [%s](#%s): %s", g.title, anchor(g.title), strings.Join(names, ", ")))
		}
	}
	if parts != nil {
		p.line("Settings:")
		p.line(strings.Join(parts, "\n"))
	}
}

func (p *page) settings(all []*setting) {
	p.line("| flag | variable | default | |\n|---|---|---|---|")
	for _, s := range all {
		initial := defaultOf(s)
		if s.required {
			initial = "must be set"
		}
		fmt.Fprintf(&p.b, "| `--%s` | `%s` | %s | %s |\n", s.name, s.variable(), initial, meaning(s))
	}
}

func defaultOf(s *setting) string {
	if s.toggle {
		return ""
	}
	text := cmp.Or(s.initial, s.shown)
	if text == "" || strings.Contains(text, " ") { // nothing, or words
		return text
	}
	return "`" + text + "`"
}

// meaning is what a setting is for, what is allowed, and an example.
func meaning(s *setting) string {
	text := sentence(s.usage)
	if s.toggle {
		return escaped(text)
	}
	text = escaped(text + " Allowed: " + s.allowed)
	if s.example != "" && s.example != s.initial && (!s.secret || s.redacted != nil) {
		text += ", for example `" + s.example + "`"
	}
	return text + "."
}
