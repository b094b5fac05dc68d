package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "dev"

const (
	exitDone        = 0
	exitFailed      = 1 // or a promise broke
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	// Further signals are ignored: cleaning up is bounded, and cutting it short
	// would leave things behind.
	ctx, stop := context.WithCancel(context.Background())
	received := make(chan os.Signal, 1)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() { // lives as long as the process
		<-received
		stop()
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ran := false
	cmd := newCommand(stdout, &ran)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitDone
	case !ran:
		fmt.Fprintf(stderr, "tandem-demo: %v\nSee tandem-demo --help.\n", err)
		return exitUsage
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "tandem-demo: interrupted; everything is cleaned up")
		return exitInterrupted
	}
	fmt.Fprintf(stderr, "tandem-demo: %v\n", err)
	return exitFailed
}

// options are the flags.
type options struct {
	duration time.Duration
	rate     int
	seed     uint64
	database string
	brokers  []string
	tandem   string
}

func (o *options) check() error {
	if o.duration < time.Second || o.duration > time.Hour {
		return fmt.Errorf("--duration is %v; allowed is 1s to 1h, for example 20s", o.duration)
	}
	if o.rate < 1 || o.rate > 10_000 {
		return fmt.Errorf("--rate is %d; allowed is 1 to 10000, for example 400", o.rate)
	}
	if o.tandem != "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the program tandem: %w; give its path with --tandem", err)
	}
	o.tandem = filepath.Join(filepath.Dir(self), "tandem")
	if _, err := os.Stat(o.tandem); err != nil {
		return errors.New("the program tandem is not beside this one: run make build, or give its path with --tandem")
	}
	return nil
}

func newCommand(stdout io.Writer, ran *bool) *cobra.Command {
	o := options{seed: rand.Uint64N(1_000_000)}
	cmd := &cobra.Command{
		Use:   "tandem-demo",
		Short: "Watch a shop's orders arrive exactly as promised while everything is killed",
		Long: `A shop takes orders in PostgreSQL, a relay publishes them to Kafka, one consumer
charges for them with an inbox and one without. Relay and consumers are killed
at random. The table at the end is counted in the database and in the topic.

Exit codes: 0 every promise was kept, 1 one broke or something failed, 2 wrong
usage, 130 interrupted. Ctrl-C cleans everything up.`,
		Example: `  tandem-demo
  tandem-demo --duration 1m --rate 1000
  tandem-demo --database-url postgres://me:secret@localhost:5432/test --kafka-brokers localhost:9092`,
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			*ran = true
			return play(cmd.Context(), o, stdout)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.duration, "duration", 20*time.Second, "how long the shop is open and parts are killed")
	f.IntVar(&o.rate, "rate", 400, "orders a second")
	f.Uint64Var(&o.seed, "seed", o.seed, "of the kills' times; another one each run unless given")
	f.Lookup("seed").DefValue = "" // a random one is no default to show
	f.StringVar(&o.database, "database-url", "", "a PostgreSQL of yours, as one who may create schemas (default: one is started)")
	f.StringSliceVar(&o.brokers, "kafka-brokers", nil, "a Kafka of yours (default: a fake one in this process)")
	f.StringVar(&o.tandem, "tandem", "", "the program tandem (default: the one beside this program)")
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(&cobra.Command{
		Use: "consume " + strings.Join([]string{withInbox, withoutInbox}, "|"), Hidden: true,
		Args: cobra.ExactArgs(1), ValidArgs: []string{withInbox, withoutInbox},
		RunE: func(cmd *cobra.Command, args []string) error {
			*ran = true
			if err := consume(cmd.Context(), args[0]); err != nil && cmd.Context().Err() == nil {
				return err
			}
			return nil
		},
	})
	return cmd
}
