package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/tandem-outbox/tandem/internal/bench"
)

// benchOptions are the settings of "tandem bench" and what is below it.
type benchOptions struct {
	database     *pgx.ConnConfig
	passwordFile string
	kafka        kafkaOptions
	keep, asJSON bool

	quick   bool
	write   bench.WriteOptions
	drain   bench.DrainOptions
	steady  bench.SteadyOptions
	consume bench.ConsumeOptions
	idle    bench.IdleOptions
}

// measure is one of the measurements.
type measure func(ctx context.Context, s *bench.Site, o *benchOptions) ([]bench.Result, error)

var (
	measureWrite measure = func(ctx context.Context, s *bench.Site, o *benchOptions) ([]bench.Result, error) {
		return bench.Write(ctx, s, o.write)
	}
	measureDrain measure = func(ctx context.Context, s *bench.Site, o *benchOptions) ([]bench.Result, error) {
		return bench.Drain(ctx, s, o.drain)
	}
	measureSteady measure = func(ctx context.Context, s *bench.Site, o *benchOptions) ([]bench.Result, error) {
		return bench.Steady(ctx, s, o.steady)
	}
	measureConsume measure = func(ctx context.Context, s *bench.Site, o *benchOptions) ([]bench.Result, error) {
		return bench.Consume(ctx, s, o.consume)
	}
	measureIdle measure = func(ctx context.Context, s *bench.Site, o *benchOptions) ([]bench.Result, error) {
		return bench.Idle(ctx, s, o.idle)
	}
)

// common are the settings of all of them.
func (o *benchOptions) common(kafkaRequired bool) []*setting {
	kafka := o.kafka.settings()
	kafka[0].required = kafkaRequired
	return slices.Concat([]*setting{databaseLogin(&o.database, &o.passwordFile)}, kafka, []*setting{
		once(&o.keep, "keep", "let the database and the last topics stay, to look at them"),
		once(&o.asJSON, "json", "for programs"),
	})
}

func newBench(sys system) *cobra.Command {
	var o benchOptions
	payload := benchPayload(&o.write.Payload, &o.drain.Payload, &o.steady.Payload, &o.consume.Payload)
	cmd := configure(&cobra.Command{
		Use:   "bench",
		Short: "Measure Tandem on your own servers",
		Long: `Measures Tandem on your own servers: all of what is below, or one of it. It takes
some ten minutes, and nothing else should run meanwhile: writers, relay and
consumers are all in this process.

Your databases and topics are not touched. A database of its own, with Tandem's
schema, and topics of its own are made, and removed at the end, also after Ctrl-C
or a failure. The login needs CREATEDB, and in Kafka the right to create, write,
read and delete topics tandem-bench-…, and to use groups of these names. The roles
that the migrations make stay: they can neither log in nor do anything elsewhere.

Every measurement ends with an audit: each event is counted where it has to arrive.
If one is lost, doubled or out of order, the exit code is 1, whatever the speed.`,
		Example: `  tandem bench --database-url postgres://me:secret@localhost:5432/postgres --kafka-brokers localhost:9092
  tandem bench --json > bench.json
  tandem bench drain --events 10000000`,
	}, sys, append(o.common(true), payload, steadyRates(&o.steady.Rates),
		once(&o.quick, "quick", "only to see that everything works, within a minute: the figures say nothing")),
		func(ctx context.Context) error {
			o.drain.HeldSnapshot = true
			if o.quick {
				o.hurry()
			}
			return runBench(ctx, sys, &o, measureWrite, measureDrain, measureSteady, measureConsume, measureIdle)
		})
	cmd.AddCommand(newBenchWrite(sys), newBenchDrain(sys), newBenchSteady(sys), newBenchConsume(sys), newBenchIdle(sys))
	return cmd
}

// hurry makes everything small.
func (o *benchOptions) hurry() {
	o.write.Slice, o.write.Rounds, o.write.Clients = 20*time.Millisecond, 2, []int{1, 4}
	o.drain.Events, o.drain.Rounds = 20_000, 1
	o.steady.Duration, o.steady.Warmup, o.steady.Rates = time.Second, 100*time.Millisecond, []int{200}
	o.consume.Events, o.consume.Rounds, o.consume.Batches = 2_000, 1, []int{100}
	o.idle.Settle, o.idle.Duration = 10*time.Millisecond, 100*time.Millisecond
}

func newBenchWrite(sys system) *cobra.Command {
	var o benchOptions
	return configure(&cobra.Command{
		Use:   "write",
		Short: "What an event costs a transaction that writes one row",
		Long: `What an event costs a transaction that writes one row. The cases take turns in
short slices:

  none        the row alone
  SELECT 1    and one more round trip, the control for
  sequential  outbox.Add, and
  sql         SELECT tandem.add(…)
  pipelined   outbox.Queue: the event's statement travels with that of the row

Without --kafka-brokers the events are counted in the log.`,
		Example: `  tandem bench write --clients 1,8 --rounds 50`,
	}, sys, append(o.common(false),
		benchPayload(&o.write.Payload),
		countList(&o.write.Clients, "clients", "how many clients write at a time, in turn", "1,4,16", bench.MaxClients),
		count(&o.write.Rounds, "rounds", "how many slices each case has", 20, 1, 10_000),
		flagDuration(&o.write.Slice, "slice", "how long one slice is", 400*time.Millisecond, time.Millisecond),
	), func(ctx context.Context) error { return runBench(ctx, sys, &o, measureWrite) })
}

func newBenchDrain(sys system) *cobra.Command {
	var o benchOptions
	return configure(&cobra.Command{
		Use:   "drain",
		Short: "How fast a relay empties a backlog",
		Long: `How fast a relay with the defaults of "tandem relay" empties a backlog, from its
start to the last acknowledgement, with acks=all and the log's space given back
meanwhile; what of a processor and of memory it takes, and whether the last tenth is
as fast as the first.`,
		Example: `  tandem bench drain --events 10000000 --rounds 1
  tandem bench drain --held-snapshot`,
	}, sys, append(o.common(true),
		count(&o.drain.Events, "events", "how many events the backlog has", 1_000_000, 10, 1_000_000_000),
		benchPayload(&o.drain.Payload),
		count(&o.drain.Partitions, "partitions", "how many partitions the topic has", 6, 1, 1000),
		count(&o.drain.Rounds, "rounds", "how often it is measured", 3, 1, 1000),
		once(&o.drain.HeldSnapshot, "held-snapshot", "measure in turn with it what a transaction changes that was open before"),
	), func(ctx context.Context) error { return runBench(ctx, sys, &o, measureDrain) })
}

func newBenchSteady(sys system) *cobra.Command {
	var o benchOptions
	return configure(&cobra.Command{
		Use:   "steady",
		Short: "How long an event takes at a given rate",
		Long: `How long an event takes from COMMIT to Kafka's acknowledgement, and to a consumer,
at a given rate. Transactions begin on schedule whatever became of earlier ones:

  committed     from when the transaction was to begin to the return of COMMIT
  acknowledged  from the return of COMMIT
  received      from the return of COMMIT
  whole         from when the transaction was to begin to the acknowledgement`,
		Example: `  tandem bench steady --rate 1000,10000 --duration 1m`,
	}, sys, append(o.common(true),
		steadyRates(&o.steady.Rates),
		flagDuration(&o.steady.Duration, "duration", "how long each rate is measured, after two seconds that are not", 20*time.Second, 10*time.Millisecond),
		benchPayload(&o.steady.Payload),
		count(&o.steady.Partitions, "partitions", "how many partitions the topic has", 6, 1, 1000),
		eventsEach(&o.steady.Each),
		count(&o.steady.Connections, "connections", "on how many connections transactions are begun", 32, 1, bench.MaxClients),
	), func(ctx context.Context) error { return runBench(ctx, sys, &o, measureSteady) })
}

func newBenchConsume(sys system) *cobra.Command {
	var o benchOptions
	return configure(&cobra.Command{
		Use:   "consume",
		Short: "How fast a consumer with an inbox is, and the same without one",
		Long: `How fast a consumer with an inbox takes messages out of a topic, with one effect
row each, and in turn with it the same batches without an inbox. A batch handler
writes the effects of a batch in one statement, a message handler each by itself (in
batches of 100).`,
		Example: `  tandem bench consume --batch 1,100,1000`,
	}, sys, append(o.common(true),
		count(&o.consume.Events, "events", "how many messages there are", 200_000, 1, 100_000_000),
		countList(&o.consume.Batches, "batch", "how many messages a transaction has, in turn", "10,100,500", 50_000),
		benchPayload(&o.consume.Payload),
		count(&o.consume.Partitions, "partitions", "how many partitions the topic has", 4, 1, 1000),
		count(&o.consume.Rounds, "rounds", "how often it is measured", 3, 1, 1000),
	), func(ctx context.Context) error { return runBench(ctx, sys, &o, measureConsume) })
}

func newBenchIdle(sys system) *cobra.Command {
	var o benchOptions
	return configure(&cobra.Command{
		Use:   "idle",
		Short: "What a relay takes of a processor while there is nothing to do",
		Long: `What a relay takes of a processor while there is nothing to do: it goes on looking at
the log, and renews its lease.`,
		Example: `  tandem bench idle --duration 1m`,
	}, sys, append(o.common(true),
		flagDuration(&o.idle.Settle, "settle", "how long to wait first: a relay looks at an empty log less and less often", 15*time.Second, time.Millisecond),
		flagDuration(&o.idle.Duration, "duration", "how long it is measured", 20*time.Second, 10*time.Millisecond),
	), func(ctx context.Context) error { return runBench(ctx, sys, &o, measureIdle) })
}

// runBench measures, prints what came of it also where it fails, and puts
// everything away.
func runBench(ctx context.Context, sys system, o *benchOptions, measures ...measure) (err error) {
	screen := newBenchProgress(sys.stderr)
	defer screen.end()
	site, err := bench.Open(ctx, bench.Servers{
		Database: o.database, BeforeConnect: readAnew(o.passwordFile), Kafka: o.kafka.config(),
		Logger: slog.New(slog.NewTextHandler(screen, &slog.HandlerOptions{Level: slog.LevelWarn})), Progress: screen.show,
	})
	if err != nil {
		return explainBench(ctx, err, o.database)
	}
	fmt.Fprintf(screen, "made database %s\n", site.Name())
	report := bench.Report{Started: time.Now().UTC()}
	report.Environment, err = bench.EnvironmentOf(ctx, site, releaseText())
	for _, m := range measures {
		if err != nil {
			break
		}
		var results []bench.Result
		results, err = m(ctx, site, o)
		report.Results = append(report.Results, results...)
	}
	err = errors.Join(explainBench(ctx, err, o.database), putAway(ctx, sys, site, o, screen))
	screen.end()
	if len(report.Results) > 0 {
		err = errors.Join(err, printBench(sys, report, o.asJSON), judge(report))
	}
	return err
}

// putAway removes what was made; a second signal ends that.
func putAway(ctx context.Context, sys system, site *bench.Site, o *benchOptions, screen *benchProgress) error {
	if o.keep {
		fmt.Fprintf(screen, "kept database %s, topics %q\n", site.Name(), site.Topics())
		return site.Leave()
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-sys.abort:
			cancel()
		case <-done:
		}
	}()
	err := site.Close(ctx)
	close(done)
	<-watched
	return err
}

// explainBench says what to do about it.
func explainBench(ctx context.Context, err error, database *pgx.ConnConfig) error {
	if ctx.Err() != nil && err != nil {
		return errors.New("interrupted")
	}
	return explain(err, database)
}

// judge is the audits' verdict.
func judge(report bench.Report) error {
	for _, r := range report.Results {
		if r.Audit != nil && !r.Audit.Clean() {
			return fmt.Errorf("the audit of %s, %s is not clean: %s, of %d; please report this with the output of --json", r.Measure, r.Case, r.Audit, r.Audit.Expected)
		}
	}
	return nil
}
