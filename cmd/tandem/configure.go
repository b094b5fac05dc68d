package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// prefix of the environment's variables.
const prefix = "TANDEM_"

// foreign variables begin with our prefix and belong to the project's own tests.
const foreign = "TANDEM_TEST_"

// configure gives a command its settings and what it does. The command runs
// once every setting has been found right.
func configure(cmd *cobra.Command, sys system, settings []*setting, do func(context.Context) error) *cobra.Command {
	settings = withAlso(settings)
	if slices.ContainsFunc(settings, func(s *setting) bool { return !s.flagOnly }) {
		settings = append(settings, configFile())
	}
	for _, s := range settings {
		s.text = s.initial
		flag := cmd.Flags().VarPF(s, s.name, "", s.usage)
		if s.toggle {
			flag.NoOptDefVal = "true"
		}
		if s.shown != "" {
			flag.Usage += " (default " + s.shown + ")"
		}
		if s.flagOnly {
			flag.Annotations = map[string][]string{flagOnly: nil}
		}
		_ = cmd.RegisterFlagCompletionFunc(s.name, s.complete) // fails for a flag that is not there
	}
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if problems := load(cmd, sys.env, settings); len(problems) > 0 {
			return &usageError{problems}
		}
		err := do(cmd.Context())
		if err == nil {
			return nil
		}
		var wrong *usageError
		if errors.As(err, &wrong) {
			return wrong
		}
		return &failure{err}
	}
	return cmd
}

const flagOnly = "tandem-flag-only"

// load gives every setting its value: the flag's, else the variable's, else the
// file's, else the default.
func load(cmd *cobra.Command, environ []string, settings []*setting) (problems []string) {
	known := knownNames(cmd.Root())
	env, problems := readEnvironment(environ, known)
	file := env["config"]
	if flag := cmd.Flags().Lookup("config"); flag == nil {
		file = "" // nothing of it is for this command
	} else if flag.Changed {
		if file = flag.Value.String(); file == "" { // a variable of a script that is not set
			problems = append(problems, "--config is empty: give the name of a file, or leave it out")
		}
	}
	v, more, err := readFile(file, known)
	if problems = append(problems, more...); err != nil { // what else is missing may stand in it
		return append(problems, err.Error())
	}
	inFile := v.AllKeys()
	layer := map[string]any{}
	for name, value := range env {
		layer[name] = value
	}
	if err := v.MergeConfigMap(layer); err != nil {
		return append(problems, oneLine(err))
	}
	if err := v.BindPFlags(cmd.Flags()); err != nil {
		return append(problems, oneLine(err))
	}
	for _, s := range settings {
		text, source := s.initial, ""
		_, inEnv := env[s.name]
		switch {
		case cmd.Flags().Changed(s.name):
			text, source = s.text, "--"+s.name
		case s.flagOnly:
		case inEnv:
			text, source = v.GetString(s.name), s.variable()
		case slices.Contains(inFile, s.name):
			text, source = fileText(v, s.name), fmt.Sprintf("%s: %s", file, s.name)
		}
		if problem := s.take(text, source); problem != "" {
			problems = append(problems, problem)
		}
	}
	for _, s := range settings {
		if s.check != nil {
			problems = append(problems, s.check()...)
		}
	}
	return problems
}

// knownNames are the settings of all commands: one file, and one environment,
// serve them all.
func knownNames(cmd *cobra.Command) []string {
	var all []string
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, only := f.Annotations[flagOnly]; !only && f.Name != "help" {
			all = append(all, f.Name)
		}
	})
	for _, c := range cmd.Commands() {
		all = append(all, knownNames(c)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// readEnvironment returns the variables that are ours by their settings' names.
// An empty variable counts as not set. One that is nobody's is a problem: a
// mistyped name would be ignored in silence.
func readEnvironment(environ, known []string) (map[string]string, []string) {
	found := map[string]string{}
	var problems []string
	variables := make([]string, 0, len(known))
	for _, name := range known {
		variables = append(variables, variableOf(name))
	}
	for _, pair := range environ {
		variable, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(variable, prefix) || strings.HasPrefix(variable, foreign) {
			continue
		}
		i := slices.Index(variables, variable)
		if i < 0 {
			problems = append(problems, fmt.Sprintf("%s is no setting of tandem%s", variable, suggestion(variable, variables)))
		} else if value != "" {
			found[known[i]] = value
		}
	}
	slices.Sort(problems)
	return found, problems
}

// mostFile is the most that is read of a file.
const mostFile = 1 << 20

// readFile reads the file of --config. The error is what keeps it from being read at
// all; problems are keys in it that nobody has.
func readFile(path string, known []string) (_ *viper.Viper, problems []string, _ error) {
	v := viper.New()
	v.SetConfigType("yaml")
	if path == "" {
		return v, nil, nil
	}
	content, err := readFileOf(path)
	if err == nil && len(content) > mostFile {
		err = fmt.Errorf("it has more than %d bytes", mostFile)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the file of --config, %s: %w; give another, or leave --config out; tandem config sample prints one to begin with", path, err)
	}
	if err := v.ReadConfig(bytes.NewReader(content)); err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			err = cause // without viper's words
		}
		return nil, nil, fmt.Errorf("the file of --config, %s, is not what it should be: %s; each of its lines is a setting and its value, as in \"kafka-brokers: localhost:9092\", without spaces before it; tandem config sample prints one to begin with", path, oneLine(err))
	}
	for _, key := range v.AllKeys() {
		if !slices.Contains(known, key) || key == "config" {
			problems = append(problems, fmt.Sprintf("%s: %q is no setting of tandem%s", path, key, suggestion(key, known)))
		}
	}
	slices.Sort(problems)
	return v, problems, nil
}

// fileText is a file's value as it would stand in a flag: a list of YAML's is
// one with commas.
func fileText(v *viper.Viper, name string) string {
	if list, ok := v.Get(name).([]any); ok {
		parts := make([]string, 0, len(list))
		for _, item := range list {
			parts = append(parts, fmt.Sprint(item))
		}
		return strings.Join(parts, ",")
	}
	return v.GetString(name)
}
