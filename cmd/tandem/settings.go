package main

import (
	"fmt"
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
	required bool
	secret   bool // the value is not repeated in messages
	flagOnly bool // says something about one call, not about a system
	toggle   bool // may stand without a value
	list     bool // given again it adds, as after a comma

	parse func(text string) error // keeps the value; the error says what is wrong with text

	text string
}

// Set, String and Type make it a flag's value.
func (s *setting) Set(text string) error {
	if s.list && s.text != "" {
		text = s.text + "," + text
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

// take parses the text that came from source. The result is a problem for
// people, empty if there is none.
func (s *setting) take(text, source string) string {
	if text == "" && s.required {
		return fmt.Sprintf("--%s is missing: set it, or %s; for example %s", s.name, s.variable(), s.example)
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
	problem := fmt.Sprintf("%s %s: %s; allowed is %s", source, value, oneLine(err), s.allowed)
	if s.example != "" {
		problem += ", for example " + s.example
	}
	return problem
}
