package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tandem-outbox/tandem/internal/advice"
	"github.com/tandem-outbox/tandem/relay"
)

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is the whole program.
func run(ctx context.Context, args []string, sys system) int {
	root := newRoot(sys)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var failed *failure
	if errors.As(err, &failed) {
		fmt.Fprintf(sys.stderr, "%s: %s%s\n", cmd.CommandPath(), oneLine(failed.err), runbook(failed.err))
		return exitFailed
	}
	var wrong *usageError
	if errors.As(err, &wrong) {
		fmt.Fprintf(sys.stderr, "%s: %s\n", cmd.CommandPath(), wrong)
	} else { // cobra's own: an unknown command or flag
		fmt.Fprintf(sys.stderr, "%s: %v\n", cmd.CommandPath(), err)
	}
	fmt.Fprintf(sys.stderr, "See %s --help.\n", cmd.CommandPath())
	return exitUsage
}

func newRoot(sys system) *cobra.Command {
	root := &cobra.Command{
		Use:   "tandem",
		Short: "A transactional outbox from PostgreSQL to Kafka",
		Long: `Tandem publishes to Kafka what services have written to the outbox in their
PostgreSQL transactions: every committed event at least once, in order within
its key, and nothing of a transaction that was rolled back.

Every setting is a flag, an environment variable of the same name (TANDEM_ and
the flag in upper case, TANDEM_DATABASE_URL for --database-url) or a key of a
YAML file (--config, or TANDEM_CONFIG), in this order of precedence.

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
		Example: `  export TANDEM_DATABASE_URL=postgres://tandem:secret@localhost:5432/shop
  export TANDEM_KAFKA_BROKERS=localhost:9092
  tandem migrate up
  tandem relay`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(flagError)
	root.SetOut(sys.stdout)
	root.SetErr(sys.stderr)
	root.SetIn(sys.stdin)
	root.AddCommand(newInit(sys), newMigrate(sys), newRelay(sys), newParked(sys), newReplay(sys), newInbox(sys), newRebase(sys), newStatus(sys), newDoctor(sys), newBench(sys), newConfig(sys), newCompletion(sys), newVersion(sys))
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	return root
}

// flagError adds what may have been meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	return fmt.Errorf("%w%s", err, suggestion("--"+unknown.GetSpecifiedName(), known))
}

// failure is an error of a command that was used rightly.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// usageError lists all that is wrong with how a command was used.
type usageError struct{ problems []string }

func (u *usageError) Error() string {
	if len(u.problems) == 1 {
		return u.problems[0]
	}
	return fmt.Sprintf("%d problems\n  %s", len(u.problems), strings.Join(u.problems, "\n  "))
}

// oneLine is an error's text without the line breaks that drivers put into it, and
// without lines that come again: the addresses of a host mostly fail alike.
func oneLine(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		line = strings.Join(strings.Fields(line), " ")
		if n := len(lines); n > 0 && strings.HasPrefix(line, lines[n-1]) {
			lines[n-1] = line
		} else if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.ReplaceAll(strings.Join(lines, ", "), ":, ", ": ")
}

// runbook is where more is written about what keeps a relay from starting.
func runbook(err error) string {
	var setup *relay.SetupError
	if !errors.As(err, &setup) || setup.Code == "" {
		return ""
	}
	return "; see " + advice.Runbook(setup.Code)
}

// subcommands is a command that is only a name for those below it.
func subcommands(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(below...)
	cmd.Args = cobra.ArbitraryArgs // else cobra shows the help and is content
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return &usageError{problems: []string{"name one of its commands: " + names(below)}}
		}
		known := make([]string, 0, len(below))
		for _, c := range below {
			known = append(known, c.Name())
		}
		return &usageError{problems: []string{fmt.Sprintf("%q is none of its commands (%s)%s", args[0], names(below), suggestion(args[0], known))}}
	}
	return cmd
}

func names(cmds []*cobra.Command) string {
	var all []string
	for _, c := range cmds {
		all = append(all, c.Name())
	}
	return strings.Join(all, ", ")
}
