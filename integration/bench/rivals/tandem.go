package rivals

import (
	"context"
	"os/exec"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/migrations"
	"github.com/tandem-outbox/tandem/outbox"
)

// tandem is "tandem relay" with its defaults; it drains with --until-empty.
var tandem = System{
	Name: "tandem",
	Ends: true,
	Setup: func(ctx context.Context, conn *pgx.Conn, _ Site) error {
		m, err := migrations.Open(conn.Config(), "")
		if err != nil {
			return err
		}
		defer m.Close()
		_, err = m.Up(ctx)
		return err
	},
	Write: func(ctx context.Context, tx pgx.Tx, site Site, events []Event) error {
		all := make([]outbox.Event, len(events))
		for i, e := range events {
			all[i] = outbox.Event{ID: e.ID, Topic: site.Topic, Key: e.Key, Type: eventType, Payload: e.Payload}
		}
		return outbox.Add(ctx, tx, all...)
	},
	Unlimited: `UPDATE tandem.settings SET max_event_bytes = 10000000`,
	Command: func(ctx context.Context, site Site) (*exec.Cmd, error) {
		arguments := []string{"relay", "--database-url", site.DatabaseURL, "--kafka-brokers", strings.Join(site.Brokers, ","), "--source", source, "--log-level", "warn"}
		if !site.steady() {
			arguments = append(arguments, "--until-empty")
		}
		return exec.CommandContext(ctx, site.Tandem, arguments...), nil
	},
}
