// Package servers is what the examples need and do not show: a database and topics
// of their own, a relay, an HTTP server, and putting all of it away.
//
// The servers are those of DATABASE_URL and KAFKA_BROKERS (or TANDEM_DATABASE_URL
// and TANDEM_KAFKA_BROKERS), else those of docker-compose.yml. An example named
// payments makes a database beside the one it was given, called like that one and
// _example_payments; a former run that was killed may have left one, which is
// dropped. Its topics have names that no other run has.
package servers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/migrations"
)

const (
	composeDatabase = "postgres://postgres:tandem@localhost:5432/tandem?sslmode=disable"
	composeBrokers  = "localhost:9092"

	// longest is how long a story may take: some seconds, and on a machine that
	// has much to do some minutes.
	longest = 110 * time.Second
	// putAway bounds making the database, and removing what a story made.
	putAway = time.Minute
	// longestName is what PostgreSQL allows.
	longestName = 63
)

// Servers are an example's database and brokers.
type Servers struct {
	Pool    *pgxpool.Pool
	Brokers []string

	name, run string
	database  *pgxpool.Config // of the example's own database
	server    *pgx.ConnConfig // of the one that was given
	topics    map[string]int  // and their partitions
	fail      context.CancelCauseFunc

	mu    sync.Mutex
	stops []func() // in the order of their starts
}

// Main is an example's main: it tells the story, removes what was made for it, and
// exits with 1 if something went otherwise than the story says.
func Main(name string, story func(ctx context.Context, s *Servers) error) {
	level := slog.LevelError + 4 // what relay and consumers say of the faults is part of the story, not of its outcome
	if text, ok := os.LookupEnv("EXAMPLE_LOG"); ok {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			fmt.Fprintln(os.Stderr, "EXAMPLE_LOG is debug, info, warn or error")
			os.Exit(2)
		}
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for what is put away
	err := tell(ctx, name, story)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func tell(ctx context.Context, name string, story func(context.Context, *Servers) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("the story took longer than %s", longest))
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s, err := open(ctx, name)
	if err == nil {
		s.fail = fail
		err = story(ctx, s)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx) // why it ended, not what it was doing
	}
	return errors.Join(err, s.close())
}

func open(ctx context.Context, name string) (*Servers, error) {
	url := cmp.Or(os.Getenv("DATABASE_URL"), os.Getenv("TANDEM_DATABASE_URL"), composeDatabase)
	brokers := cmp.Or(os.Getenv("KAFKA_BROKERS"), os.Getenv("TANDEM_KAFKA_BROKERS"), composeBrokers)
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	s := &Servers{
		Brokers: strings.Split(brokers, ","), name: name, run: strings.ToLower(rand.Text()[:8]),
		database: config, server: config.ConnConfig.Copy(), topics: map[string]int{},
	}
	suffix := "_example_" + name
	given := config.ConnConfig.Database
	config.ConnConfig.Database = given[:min(len(given), longestName-len(suffix))] + suffix
	config.MaxConns = 20 // all of an example's parts share it
	if err := s.admin("DROP DATABASE IF EXISTS %s WITH (FORCE)", "CREATE DATABASE %s TEMPLATE template0"); err != nil {
		return nil, fmt.Errorf("make a database beside that of DATABASE_URL (is PostgreSQL up? see examples/README.md): %w", err)
	}
	s.Pool, err = s.migrated(ctx)
	return s, err
}

// admin runs statements about the example's database, to their end: one that is
// interrupted may have been carried out.
func (s *Servers) admin(statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), putAway)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	name := pgx.Identifier{s.database.ConnConfig.Database}.Sanitize()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, fmt.Sprintf(statement, name)); err != nil {
			return err
		}
	}
	return nil
}

// migrated does what "tandem migrate up" does.
func (s *Servers) migrated(ctx context.Context) (*pgxpool.Pool, error) {
	migrator, err := migrations.Open(s.database.ConnConfig, "")
	if err != nil {
		return nil, err
	}
	defer migrator.Close()
	if _, err := migrator.Up(ctx); err != nil {
		return nil, err
	}
	return s.NewPool(func(*pgxpool.Config) {})
}

// NewPool is a pool of its own, with changes.
func (s *Servers) NewPool(change func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	config := s.database.Copy()
	change(config)
	return pgxpool.NewWithConfig(context.Background(), config)
}

// Go runs a part of the example until stop is called or the story ends. If it ends
// with an error before, so does the story.
func (s *Servers) Go(ctx context.Context, what string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil && ctx.Err() == nil {
			s.fail(fmt.Errorf("%s: %w", what, err))
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stops = append(s.stops, stop)
	return stop
}

// Count is the number that a query yields.
func (s *Servers) Count(ctx context.Context, query string, arguments ...any) (n int, err error) {
	err = s.Pool.QueryRow(ctx, query, arguments...).Scan(&n)
	return n, err
}

// Await waits until something is so.
func Await(ctx context.Context, what string, so func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := so(); err != nil || ok {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx))
		}
	}
}

// close ends what runs, the newest first, and removes what was made.
func (s *Servers) close() error {
	if s == nil {
		return nil // nothing was
	}
	s.mu.Lock()
	stops := slices.Clone(s.stops)
	s.mu.Unlock()
	for _, stop := range slices.Backward(stops) {
		stop()
	}
	if s.Pool != nil {
		s.Pool.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), putAway)
	defer cancel()
	return errors.Join(s.deleteTopics(ctx), s.admin("DROP DATABASE IF EXISTS %s WITH (FORCE)"))
}
