package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/tandem-outbox/tandem/relay"
)

func newRebase(sys system) *cobra.Command {
	var database *pgx.ConnConfig
	var name string
	var fromCheckpoint, all, none, dryRun, yes bool
	cmd := configure(&cobra.Command{
		Use:   "rebase",
		Short: "Give the log a new start after a restore, a copy or a failover",
		Long: `The relay's checkpoint is valid on one server only. After a dump and restore, a
copy, an upgrade to another cluster or a failover the relay refuses to start,
because it might go silent or repeat everything. This command says what of the
log is still to be published, and makes the checkpoint valid here:

  --from-checkpoint  what the old checkpoint does not cover (the default): at
                     least once, so what was published after it repeats
  --publish-all      everything that is in the log, again
  --publish-none     nothing of what is in the log now

Stop every relay of the log first. Run it as the owner of the schema. Writers
may go on. Nothing is published by this command itself.`,
		Example: `  tandem rebase --dry-run
  tandem rebase --yes
  tandem rebase --publish-none --yes    # a copy for testing`,
	}, sys, []*setting{
		databaseURL(&database), schemaName(&name),
		once(&fromCheckpoint, "from-checkpoint", "publish what the old checkpoint does not cover"),
		once(&all, "publish-all", "publish all of the log again"),
		once(&none, "publish-none", "publish nothing of the log"),
		once(&dryRun, "dry-run", "count, and change nothing"),
		once(&yes, "yes", "do not ask"),
	}, func(ctx context.Context) error {
		choice := relay.PublishUncovered
		switch {
		case all:
			choice = relay.PublishAll
		case none:
			choice = relay.PublishNone
		}
		return rebase(ctx, sys, database, name, choice, dryRun, yes)
	})
	cmd.MarkFlagsMutuallyExclusive("from-checkpoint", "publish-all", "publish-none")
	return cmd
}

func rebase(ctx context.Context, sys system, database *pgx.ConnConfig, name string, choice relay.RebaseChoice, dryRun, yes bool) error {
	if !dryRun && !yes {
		if !isTerminal(sys.stdin) {
			return &usageError{[]string{"there is no terminal to ask on: look with --dry-run, then give --yes"}}
		}
		planned, err := relay.Rebase(ctx, database, name, relay.RebaseOptions{Publish: choice, DryRun: true})
		if err != nil {
			return explainRebase(err, database)
		}
		fmt.Fprintf(sys.stdout, "database %s at %s, schema %s: %s\nGo on? [y/N] ", database.Database, address(database), name, counted(planned))
		if !confirmed(sys.stdin) {
			return errors.New("not confirmed; nothing was changed")
		}
	}
	result, err := relay.Rebase(ctx, database, name, relay.RebaseOptions{Publish: choice, DryRun: dryRun})
	if err != nil {
		return explainRebase(err, database)
	}
	if dryRun {
		fmt.Fprintf(sys.stdout, "dry run: %s\n", counted(result))
		return nil
	}
	fmt.Fprintf(sys.stdout, "rebased: %s; start the relay\n", counted(result))
	return nil
}

func counted(r relay.RebaseResult) string {
	return fmt.Sprintf("%d events of the log are to be published, %d count as published", r.ToPublish, r.Done)
}

// explainRebase says in flags what the package says in Go.
func explainRebase(err error, database *pgx.ConnConfig) error {
	var setup *relay.SetupError
	switch {
	case errors.Is(err, relay.ErrEmptyCheckpoint):
		return fmt.Errorf("%w: give --publish-all or --publish-none", err)
	case errors.As(err, &setup): // it says what to do
		return err
	}
	return explain(err, database)
}

func isTerminal(r io.Reader) bool {
	file, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device too
	return err != nil || !os.SameFile(info, null)
}

func confirmed(r io.Reader) bool {
	line, _ := bufio.NewReader(r).ReadString('\n')
	line = strings.ToLower(strings.TrimSpace(line))
	return line == "y" || line == "yes"
}
