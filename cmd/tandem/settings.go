package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// setting is one value that a user configures. Its text is parsed only when
// flags, environment and file have been put together, so that everything that
// is wrong is reported at once.
type setting struct {
	name     string // of the flag and the file's key
	usage    string // for the help
	kind     string // for the help: what stands after the flag
	initial  string // the default, as text
	shown    string // the default for the help, where it depends on others
	allowed  string // for people whose value was refused
	example  string
	values   []string // all that are allowed, where they can be counted
	required bool
	secret   bool   // the value is not repeated in messages
	flagOnly bool   // says something about one call, not about a system
	notEmpty bool   // to give it without a value is an error, not as if it were not given
	toggle   bool   // may stand without a value
	join     string // given again it adds, after this; empty means that it replaces

	redacted func() string // a secret value without its secret, for people; optional

	parse func(text string) error // keeps the value; the error says what is wrong with text
	// check is called when every setting of the command has been taken, and says
	// what of them contradicts each other. Optional.
	check func() []string
	also  []*setting // further settings that every command with this one has

	text   string
	source string // where text came from, as the user knows it; "" for the default
}

// given tells whether the user set it; of a toggle, whether it is on.
func (s *setting) given() bool {
	if s.toggle {
		on, err := strconv.ParseBool(s.text)
		return err == nil && on
	}
	return s.source != "" && s.text != ""
}

// named is how messages call it: where its value came from and, unless it is
// secret, the value.
func (s *setting) named() string {
	source := cmp.Or(s.source, "--"+s.name)
	switch {
	case s.toggle:
		return source
	case s.secret:
		return source + " (value hidden)"
	}
	return fmt.Sprintf("%s %q", source, s.text)
}

// lacks says that a was given without b, which it needs.
func lacks(a, b *setting, why string) []string {
	if !a.given() || b.given() {
		return nil
	}
	example := ""
	if b.example != "" {
		example = ", for example " + b.example
	}
	return []string{fmt.Sprintf("%s without --%s: %s; set --%s too%s, or leave --%s out", a.named(), b.name, why, b.name, example, a.name)}
}

// both says that a and b were given, of which there can be only one.
func both(a, b *setting, why string) []string {
	if !a.given() || !b.given() {
		return nil
	}
	return []string{fmt.Sprintf("%s and %s: %s; leave one of them out", a.named(), b.named(), why)}
}

// Set, String and Type make it a flag's value.
func (s *setting) Set(text string) error {
	if s.join != "" && s.text != "" {
		text = s.text + s.join + text
	}
	s.text = text
	return nil
}

func (s *setting) String() string { return s.text }

// Type is what the help shows as the kind of value.
func (s *setting) Type() string {
	if s.toggle {
		return "bool" // pflag shows no kind for it
	}
	return s.kind
}

// IsBoolFlag lets a toggle stand alone.
func (s *setting) IsBoolFlag() bool { return s.toggle }

func (s *setting) variable() string { return variableOf(s.name) }

func variableOf(name string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// take parses the text that came from source, "" for the default. The result is
// a problem for people, empty if there is none.
func (s *setting) take(text, source string) string {
	s.text, s.source = text, source
	if text == "" && s.required {
		return fmt.Sprintf("--%s is missing: set it, or %s; for example %s", s.name, s.variable(), s.example)
	}
	if text == "" && s.notEmpty && source != "" {
		return fmt.Sprintf("%s is empty: allowed is %s, for example %s; or leave it out", source, s.allowed, s.example)
	}
	if text == "" && s.initial == "" {
		return ""
	}
	err := s.parse(text)
	if err == nil {
		return ""
	}
	value := fmt.Sprintf("%q", text)
	if s.secret {
		value = "(value hidden)"
	}
	problem := fmt.Sprintf("%s %s: %s; allowed is %s", cmp.Or(source, "--"+s.name), value, oneLine(err), s.allowed)
	if s.example != "" {
		problem += ", for example " + s.example
	}
	return problem
}
