package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// What the operator runs.
var (
	//go:embed sql/switch.sql
	switchSQL string
	//go:embed sql/back.sql
	backSQL string
	//go:embed sql/drop.sql
	dropSQL string
)

const source = "/tandem/bank"

// operator does what README.md says.
type operator struct {
	bank    *bank
	servers *servers.Servers

	poller    *poller
	stopRelay func()
}

func (o *operator) pollerCrashes(ctx context.Context) (err error) {
	if err = crashPoller(ctx, o.servers); err != nil {
		return err
	}
	o.poller, err = startPoller(ctx, o.servers)
	return err
}

func (o *operator) startRelay(ctx context.Context) error {
	o.stopRelay = o.servers.Go(ctx, "relay", func(ctx context.Context) error { return o.relay(ctx, false) })
	return nil
}

// relay is "tandem relay", and with untilEmpty "tandem relay --until-empty".
func (o *operator) relay(ctx context.Context, untilEmpty bool) error {
	publisher, err := relaykafka.New(relaykafka.Config{Brokers: o.servers.Brokers, Source: source})
	if err != nil {
		return err
	}
	defer publisher.Close()
	return relay.Run(ctx, relay.Config{
		Database: o.servers.Pool.Config().ConnConfig, Publisher: publisher, UntilEmpty: untilEmpty,
	})
}

// switchRefused meets a transaction that has a row in the old outbox and stays open.
func (o *operator) switchRefused(ctx context.Context) error {
	return pgx.BeginFunc(ctx, o.servers.Pool, func(tx pgx.Tx) error {
		if err := o.bank.transfer(ctx, tx, 0, 1, 100, addToOutbox); err != nil {
			return err
		}
		if err := o.psql(ctx, switchSQL); !lockTimeout(err) {
			return fmt.Errorf("was to be refused for a lock: %w", err)
		}
		return o.unchanged(ctx)
	})
}

// switchCutOff loses the connection when everything is done but the COMMIT.
func (o *operator) switchCutOff(ctx context.Context) error {
	uncommitted, _, _ := strings.Cut(switchSQL, "COMMIT;")
	err := o.untilGranted(ctx, func() error {
		conn, err := pgx.ConnectConfig(ctx, o.servers.Pool.Config().ConnConfig)
		if err != nil {
			return err
		}
		defer conn.PgConn().Conn().Close() // the socket: nothing is said to the server
		_, err = conn.Exec(ctx, uncommitted)
		return err
	})
	if err != nil {
		return err
	}
	return o.unchanged(ctx)
}

// unchanged makes sure that there is no trigger.
func (o *operator) unchanged(ctx context.Context) error {
	triggers, err := o.servers.Count(ctx, `SELECT count(*) FROM pg_trigger WHERE tgrelid = 'outbox'::regclass`)
	if err == nil && triggers != 0 {
		err = errors.New("the trigger is there")
	}
	return err
}

func (o *operator) switchOver(ctx context.Context) error {
	return o.untilGranted(ctx, func() error { return o.psql(ctx, switchSQL) })
}

func (o *operator) stopPoller(context.Context) error { return o.poller.stop() }

func (o *operator) back(ctx context.Context) (err error) {
	if err = o.untilGranted(ctx, func() error { return o.psql(ctx, backSQL) }); err != nil {
		return err
	}
	o.stopRelay()
	if err = o.relay(ctx, true); err != nil {
		return err
	}
	o.poller, err = startPoller(ctx, o.servers)
	return err
}

func (o *operator) switchAfterCrash(ctx context.Context) error {
	if err := o.startRelay(ctx); err != nil {
		return err
	}
	if err := o.stopPoller(ctx); err != nil {
		return err
	}
	if err := crashPoller(ctx, o.servers); err != nil {
		return err
	}
	return o.switchOver(ctx)
}

func (o *operator) deploy(ctx context.Context) error {
	for n := range o.bank.deployed {
		o.bank.deployed[n].Store(true)
		if err := o.bank.goesOn(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (o *operator) drop(ctx context.Context) error {
	return o.untilGranted(ctx, func() error { return o.psql(ctx, dropSQL) })
}

// psql runs a script on a session of its own.
func (o *operator) psql(ctx context.Context, script string) error {
	conn, err := pgx.ConnectConfig(ctx, o.servers.Pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.PgConn().Exec(ctx, script).ReadAll()
	return err
}

// untilGranted repeats what was not granted its lock in time.
func (o *operator) untilGranted(ctx context.Context, script func() error) error {
	for {
		if err := script(); !lockTimeout(err) || ctx.Err() != nil {
			return err
		}
	}
}

func lockTimeout(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "55P03"
}
