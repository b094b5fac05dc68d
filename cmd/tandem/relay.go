package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"sync"

	"github.com/spf13/cobra"

	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

func newRelay(sys system) *cobra.Command {
	var o relayOptions
	return configure(&cobra.Command{
		Use:   "relay",
		Short: "Publish the log's events to Kafka",
		Long: `Publishes the events of the log to Kafka until it is told to stop. Any number of
relays may run on one log: one works, the others stand by and take over.

At the start, what is wrong ends it with exit code 1, and what cannot be reached
is waited for. Afterwards it outlasts restarts of PostgreSQL and Kafka by itself.
Topics are never created: create them first. Events that Kafka refuses, or whose
topic cannot be written to, are set aside in the database, and the others go on; see
tandem parked.

The first SIGTERM or SIGINT publishes what was read, saves and exits with 0; a
second one exits with 1 at once, and what was not saved is published again.`,
		Example: `  tandem relay --database-url postgres://relay:secret@localhost:5432/shop --kafka-brokers localhost:9092
  TANDEM_LEASE=2s tandem relay --config /etc/tandem.yaml --http-addr :8080
  tandem relay --until-empty`,
	}, sys, o.settings(), func(ctx context.Context) error { return runRelay(ctx, sys, &o) })
}

func runRelay(ctx context.Context, sys system, o *relayOptions) error {
	limitMemory(o.inFlight)
	log := o.logger(sys)
	config := o.kafka.config()
	config.Source = cmp.Or(o.source, "/tandem/"+cmp.Or(o.database.Database, o.database.User))
	config.Logger = log
	config.BatchBytes = o.batchBytes
	if o.kafka.mechanism == saslPlain && !o.kafka.tls {
		log.Warn("the password goes to Kafka in clear text: set --kafka-tls, or a SCRAM mechanism")
	}
	publisher, err := relaykafka.New(config)
	if err != nil {
		return err
	}
	defer func() {
		if err := publisher.Close(); err != nil {
			log.Warn("the connections to Kafka did not end in time", "error", err)
		}
	}()
	traced, lastTraces, err := startTracing(ctx, o.observe.otlp, sys, log)
	if err != nil {
		return err
	}
	defer lastTraces()
	seen := newMetrics()
	r, err := relay.New(relay.Config{
		Database: o.database, BeforeConnect: readAnew(o.passwordFile), Publisher: publisher, Schema: o.schema, Lease: o.lease,
		StartTimeout: o.startTimeout, DrainTimeout: o.drainTimeout, TopicTimeout: o.topicTimeout, SaveEvery: o.saveEvery,
		BatchBytes: o.batchBytes, BytesInFlight: o.inFlight,
		KeepLeaves: o.keepLeaves, SyncStandbys: o.syncStandbys, UntilEmpty: o.untilEmpty, Logger: log,
		WarnBacklogBytes: o.observe.warnSize, WarnBacklogAge: o.observe.warnAge, DiskBytes: o.observe.diskSize,
		Version: releaseText(), Hooks: joined(seen.hooks(o.httpAddr != ""), traced),
	})
	if err != nil {
		return err
	}
	if o.httpAddr != "" {
		seen.watch(r)
		stop, err := serveHealth(ctx, o.httpAddr, r, seen.handler(), log)
		if err != nil {
			return err
		}
		defer stop()
	}
	if err := untilAborted(ctx, sys.abort, r, log); err != nil {
		return explainStart(err)
	}
	if o.untilEmpty && ctx.Err() == nil {
		printCounts(sys, r.Stats())
	}
	return nil
}

// untilAborted runs the relay; a second signal cuts its drain short.
func untilAborted(ctx context.Context, abort <-chan struct{}, r *relay.Relay, log *slog.Logger) error {
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-ctx.Done():
			log.Info("draining; a second signal ends it at once")
		case <-over:
			return
		}
		select {
		case <-abort:
			r.Abort()
		case <-over:
		}
	})
	defer watching.Wait()
	defer close(over)
	return r.Run(ctx)
}

func printCounts(sys system, s relay.Stats) {
	fmt.Fprintf(sys.stdout, "published %d events in %d requests (%d repeated), gave %d leaves of the log back\n",
		s.Published, s.Requests, s.Retries, s.Reclaimed)
	for _, line := range []struct {
		format string
		n      int64
	}{
		{"set aside %d parked\n", s.Parked},
		{"set aside %d held behind parked ones\n", s.Held},
		{"set aside %d deferred for their topics\n", s.Deferred},
		{"set aside %d scheduled\n", s.Scheduled},
		{"dropped %d expired\n", s.Expired},
		{"dropped %d at-most-once whose attempt failed\n", s.Lost},
		{"skipped %d at-most-once that may have been sent before\n", s.Skipped},
	} {
		if line.n > 0 {
			fmt.Fprintf(sys.stdout, line.format, line.n)
		}
	}
}

func (o *relayOptions) logger(sys system) *slog.Logger {
	options := &slog.HandlerOptions{Level: o.logLevel}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(sys.stderr, options))
	}
	return slog.New(slog.NewTextHandler(sys.stderr, options))
}

// memoryFloor is what the driver's and the client's buffers need, in bytes.
const memoryFloor = 32 << 20

// limitMemory makes the garbage collector work before memory grows past what a
// relay needs, some two and a half times what is in flight, unless the user has said
// how it is to work. The limit is soft.
func limitMemory(inFlight int) {
	if os.Getenv("GOMEMLIMIT") == "" && debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(memoryFloor + 5*int64(inFlight)/2)
	}
}
