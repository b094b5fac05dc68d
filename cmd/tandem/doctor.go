package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	inboxadmin "github.com/tandem-outbox/tandem/inbox/admin"
	"github.com/tandem-outbox/tandem/internal/advice"
	"github.com/tandem-outbox/tandem/internal/pgerror"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/admin"
)

func newDoctor(sys system) *cobra.Command {
	var o relayOptions
	var asJSON bool
	settings := append(o.settings(), once(&asJSON, "json", "for programs"))
	return configure(&cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with a live system",
		Long: `Takes the settings of tandem relay, and so checks them. Then it looks at

  the database  can it be reached, and is it the primary; a pooler; the schema, its
                version, leaves, grants, functions, sequence; whether the checkpoint
                belongs to this server; durability
  the relays    does one work, does one stand by; lag; parked and deferred events;
                transactions and prepared ones that hold something back; the log's size
  the inbox     is there storage for ids to come; parked messages; partitions that are
                blocked, or that nobody consumes (with the rights of tandem_consumer)
  Kafka         can a broker be reached; does each topic in use exist, has it
                leaders, may it be written to, does it take the largest event

and prints for each finding what is wrong, why that matters, what mends it, and where
more is written about it. It changes nothing. Exit code 1 if something is wrong, 0 if
there are warnings alone.`,
		Example: `  tandem doctor
  tandem doctor --json | jq -r '.findings[].code'`,
	}, sys, settings, func(ctx context.Context) error {
		found := examine(ctx, &o)
		wrong := 0
		for _, f := range found {
			if f.Severity == admin.Wrong {
				wrong++
			}
		}
		if err := printFindings(sys.stdout, found, wrong, asJSON); err != nil {
			return err
		}
		if wrong > 0 {
			return fmt.Errorf("things that are wrong: %d", wrong)
		}
		return nil
	})
}

// examine is the whole of it: each part is looked at, whatever is wrong with
// another.
func examine(ctx context.Context, o *relayOptions) []admin.Finding {
	found := []admin.Finding{}
	before, err := relay.Examine(ctx, relay.Config{Database: o.database, BeforeConnect: readAnew(o.passwordFile), Schema: o.schema})
	for _, f := range before {
		found = append(found, admin.Finding{Code: f.Code, Severity: admin.Wrong, Problem: f.Problem, Why: f.Why, Remedy: f.Remedy})
	}
	if err != nil {
		found = append(found, cannotLook(o.database, err))
	}
	status, more := examineRunning(ctx, o)
	if slices.ContainsFunc(before, func(f relay.Finding) bool { return f.Code == advice.Rights }) {
		more = slices.DeleteFunc(more, func(f admin.Finding) bool { return f.Code == advice.Rights }) // cannotLook, for want of them
	}
	if err == nil { // else the same is wrong again
		found = append(found, more...)
	}
	return append(found, examineKafka(ctx, o, status)...)
}

func cannotLook(database *pgx.ConnConfig, err error) admin.Finding {
	f := admin.Finding{Code: advice.Database, Severity: admin.Wrong, Why: "what else may be wrong there is not known", Remedy: remedy(err)}
	if pgerror.State(err) == "42501" { // insufficient_privilege
		f.Code = advice.Rights
	}
	var setup *relay.SetupError
	if errors.As(err, &setup) {
		f.Code, f.Remedy = cmp.Or(setup.Code, f.Code), setup.Remedy
		if setup.Err != nil {
			err = fmt.Errorf("%s: %w", setup.Problem, setup.Err)
		} else {
			err = errors.New(setup.Problem)
		}
	}
	f.Problem = fmt.Sprintf("the database %q at %s: %s", database.Database, address(database), oneLine(err))
	return f
}

// examineRunning looks at what runs, through a connection without the settings
// of a relay's.
func examineRunning(ctx context.Context, o *relayOptions) (live, []admin.Finding) {
	var r live
	database := o.database.Copy()
	database.RuntimeParams["application_name"] = "tandem doctor"
	conn, err := pgx.ConnectConfig(ctx, database)
	if err != nil {
		return r, []admin.Finding{cannotLook(database, err)}
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if r.Status, err = admin.ReadStatus(ctx, conn, o.schema); err != nil {
		return r, []admin.Finding{cannotLook(database, err)}
	}
	limits := admin.DefaultLimits()
	limits.Leaves = o.keepLeaves
	found, err := admin.Diagnose(ctx, conn, r.Status, limits)
	if err == nil {
		r.maxEventBytes, err = admin.MaxEventBytes(ctx, conn, o.schema)
	}
	if err != nil {
		found = append(found, cannotLook(database, err))
	}
	return r, append(found, examineInbox(ctx, conn, database, o.schema)...)
}

// examineInbox looks at the consumers whose inbox is in this database.
func examineInbox(ctx context.Context, conn *pgx.Conn, database *pgx.ConnConfig, schema string) []admin.Finding {
	desk, err := inboxadmin.New(conn, schema)
	if err != nil {
		return []admin.Finding{cannotLook(database, err)}
	}
	found, err := desk.Diagnose(ctx)
	if err != nil {
		found = append(found, cannotLook(database, err))
	}
	return found
}

// live is what the database tells that Kafka is to be compared with.
type live struct {
	admin.Status
	maxEventBytes int // 0 where it is not known
}

func printFindings(w io.Writer, found []admin.Finding, wrong int, asJSON bool) error {
	if asJSON {
		return writeJSON(w, struct {
			Errors   int             `json:"errors"`
			Warnings int             `json:"warnings"`
			Findings []admin.Finding `json:"findings"`
		}{wrong, len(found) - wrong, found})
	}
	for _, f := range found {
		fmt.Fprintf(w, "%-8s %s\n         why: %s\n", f.Severity, f.Problem, f.Why)
		if f.Remedy != "" {
			fmt.Fprintf(w, "         do:  %s\n", f.Remedy)
		}
		fmt.Fprintf(w, "         see: %s\n", advice.Runbook(f.Code))
	}
	if len(found) == 0 {
		_, err := fmt.Fprintln(w, "nothing is wrong")
		return err
	}
	_, err := fmt.Fprintf(w, "errors: %d, warnings: %d\n", wrong, len(found)-wrong)
	return err
}
