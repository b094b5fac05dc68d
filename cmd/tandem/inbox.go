package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	inboxadmin "github.com/tandem-outbox/tandem/inbox/admin"
)

func newInbox(sys system) *cobra.Command {
	return subcommands(&cobra.Command{
		Use:   "inbox",
		Short: "See what consumers do, and decide about messages that they could not handle",
		Long: `The inbox of consumers: their partitions and owners, messages that were set
aside, and the storage of ids. Everything is in the consumers' database, which may
be another than the relay's. A member of tandem_consumer may run it.`,
	}, newInboxParked(sys), newInboxStatus(sys), newInboxMaintain(sys))
}

// inbox connects and lets work be done on what consumers have set aside.
func (o *operator) inbox(ctx context.Context, work func(context.Context, *inboxadmin.Operator) error) error {
	return o.connected(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		desk, err := inboxadmin.New(conn, o.schema)
		if err != nil {
			return err
		}
		return work(ctx, desk)
	})
}

func newInboxMaintain(sys system) *cobra.Command {
	var o operator
	return configure(&cobra.Command{
		Use:   "maintain",
		Short: "Make the inbox's storage ahead, and give back what is too old",
		Long: `Makes storage for the ids of the coming year, and gives back what is older than the
retention (tandem.inbox_bounds), until nothing is left to do. Consumers and
inbox.Maintain do the same every hour, relays every day; run it daily where none of
them runs on a database whose inbox is used, and after the retention was shortened.
What is being used at this moment is left for the next time.`,
		Example: `  tandem inbox maintain`,
	}, sys, o.reading(), func(ctx context.Context) error {
		return o.inbox(ctx, func(ctx context.Context, desk *inboxadmin.Operator) error {
			did, err := desk.Maintain(ctx)
			if err != nil && did == (inboxadmin.Maintained{}) {
				return err
			}
			if o.asJSON {
				return errors.Join(printJSON(sys, did), err)
			}
			fmt.Fprintln(sys.stdout, did)
			return err
		})
	})
}
