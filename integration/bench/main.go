package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tandem-outbox/tandem/integration/bench/report"
	"github.com/tandem-outbox/tandem/integration/bench/rivals"
)

func main() {
	rivals.Child()
	// The systems' processes die with the thread that started them (see package
	// localproc). The main thread is the one that lives to the end.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	plan
	out, page                  string
	merge                      string
	reportOnly                 bool
	database, brokers, version string
}

func command(ctx context.Context, arguments []string) error {
	o, err := parse(arguments)
	if err != nil {
		return err
	}
	file := filepath.Join(o.out, "results.json")
	if o.reportOnly {
		r, err := report.Read(file)
		if err != nil {
			return err
		}
		return report.Write(r, o.out, o.page)
	}
	r := &run{progress: os.Stderr, file: file}
	if r.report, err = merged(o.merge); err != nil {
		return err
	}
	r.report.Started = time.Now().UTC().Truncate(time.Second)
	fmt.Fprintln(r.progress, "building tandem, starting servers")
	dir, err := os.MkdirTemp("", "tandem-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tandem, err := buildTandem(ctx, dir)
	if err != nil {
		return err
	}
	if r.servers, err = startServers(ctx, tandem, o.database, o.brokers, o.version); err != nil {
		return err
	}
	defer r.servers.stop()
	if r.report.Environment, err = environment(ctx, r.servers); err != nil {
		return err
	}
	r.meter = newMeter(r.servers)
	if len(o.tasks()) > 0 {
		if err := r.warmUp(ctx, o.events); err != nil {
			return err
		}
	}
	// What could not be measured is said, and the page has all the rest.
	failed := r.all(ctx, o.tasks(), o.rounds)
	if ctx.Err() == nil && slices.Contains(o.measures, measureOwn) && slices.Contains(o.systems, report.Tandem) {
		failed = errors.Join(failed, r.own(ctx))
	}
	return errors.Join(failed, report.Write(r.report, o.out, o.page))
}

// merged reads reports, each one's results before the next one's.
func merged(files string) (report.Report, error) {
	var all report.Report
	for file := range strings.SplitSeq(files, ",") {
		if file == "" {
			continue
		}
		one, err := report.Read(file)
		if err != nil {
			return all, err
		}
		all.Environment = one.Environment
		all.Add(one.Results...)
	}
	return all, nil
}

func parse(arguments []string) (options, error) {
	var names []string
	for _, s := range rivals.Systems() {
		names = append(names, s.Name)
	}
	o := options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.out, "out", "results", "the directory of results.json and the plots")
	flags.StringVar(&o.page, "page", "", "the page whose tables are made anew; none if empty")
	flags.BoolVar(&o.reportOnly, "report", false, "measure nothing, make plots and tables out of results.json")
	flags.StringVar(&o.merge, "merge", "", "reports (FILE,…) whose results are taken over; what is measured again takes their place")
	flags.IntVar(&o.rounds, "rounds", 3, "how often everything is measured, all in turn")
	flags.IntVar(&o.events, "events", 1_000_000, "events of a drain; slow systems take fewer")
	flags.IntVar(&o.long, "long", 10_000_000, "events of the long drain")
	flags.DurationVar(&o.lasting, "lasting", 20*time.Second, "how long latency is measured")
	flags.StringVar(&o.database, "database-url", "", "a PostgreSQL, as a superuser, with wal_level=logical; started here if empty")
	flags.StringVar(&o.brokers, "kafka-brokers", "", "a Kafka; started here if empty")
	flags.StringVar(&o.version, "postgres-version", os.Getenv("TANDEM_TEST_POSTGRES_VERSION"), "the PostgreSQL that is started, 15 to 18; empty is the newest that is installed, else 18")
	flags.Func("only", "systems (NAME,…) of "+strings.Join(names, ", "), list(&o.systems, names))
	flags.Func("measures", "measures (NAME,…) of "+strings.Join(measures, ", "), list(&o.measures, measures))
	o.systems, o.measures = names, measures
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("what is %q? see -help", flags.Args())
	}
	return o, nil
}

// list reads names that are among those known.
func list(into *[]string, known []string) func(string) error {
	return func(value string) error {
		*into = strings.Split(value, ",")
		for _, name := range *into {
			if !slices.Contains(known, name) {
				return fmt.Errorf("%q is none of %s", name, strings.Join(known, ", "))
			}
		}
		return nil
	}
}
