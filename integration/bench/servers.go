package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/integration/bench/rivals"
	"github.com/tandem-outbox/tandem/internal/localkafka"
	"github.com/tandem-outbox/tandem/internal/localpg"
)

// cleanupTimeout bounds what is asked of the servers after a measurement.
const cleanupTimeout = time.Minute

// settings are all systems' alike. Debezium needs the first; the second is a small
// share of memory for a server that is not for tests.
var settings = map[string]string{"wal_level": "logical", "shared_buffers": "1GB"}

// servers are where everything is measured.
type servers struct {
	database string // URL of a superuser
	brokers  []string
	tandem   string // the built program
	admin    *kadm.Client
	stop     func()
}

// startServers takes those whose addresses are given, else starts local ones.
// Tandem is the built program.
func startServers(ctx context.Context, tandem, database, brokers, version string) (_ *servers, err error) {
	var stops []func()
	s := &servers{tandem: tandem, stop: func() {
		for i := range stops {
			stops[len(stops)-1-i]()
		}
	}}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.database = database; database == "" {
		server, err := localpg.Start(ctx, localpg.Options{Version: version, Settings: settings})
		if err != nil {
			return nil, err
		}
		stops = append(stops, func() { _ = server.Stop() }) // its directory is gone either way
		s.database = server.URL("postgres")
	}
	if s.brokers = strings.Split(brokers, ","); brokers == "" {
		server, err := localkafka.Start(ctx, localkafka.Options{})
		if err != nil {
			return nil, err
		}
		stops = append(stops, server.Stop)
		s.brokers = server.Brokers()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers...))
	if err != nil {
		return nil, err
	}
	stops = append(stops, client.Close)
	s.admin = kadm.NewClient(client)
	return s, nil
}

// buildTandem builds the daemon of this repository, with the main module's go.mod.
func buildTandem(ctx context.Context, dir string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tandem-outbox/tandem").Output()
	if err != nil {
		return "", fmt.Errorf("find the main module (run in integration/bench): %w", err)
	}
	program := filepath.Join(dir, "tandem")
	out, err := exec.CommandContext(ctx, "go", "build", "-C", strings.TrimSpace(string(root)), "-trimpath", "-o", program, "./cmd/tandem").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build tandem: %w\n%s", err, out)
	}
	return program, nil
}

// site makes a database and a topic for one measurement of a system; events is 0
// for one of latency.
func (s *servers) site(ctx context.Context, system rivals.System, events int) (_ rivals.Site, remove func(), err error) {
	name := "bench_" + strings.ToLower(rand.Text()[:8])
	site := rivals.Site{Brokers: s.brokers, Topic: name, Events: events, Tandem: s.tandem}
	if site.DatabaseURL, err = withDatabase(s.database, name); err != nil {
		return site, nil, err
	}
	if site.Dir, err = os.MkdirTemp("", "tandem-bench-site-"); err != nil {
		return site, nil, err
	}
	remove = func() { s.remove(ctx, site) }
	if err = s.prepare(ctx, system, site); err != nil {
		remove()
		return site, nil, err
	}
	return site, remove, nil
}

func (s *servers) prepare(ctx context.Context, system rivals.System, site rivals.Site) error {
	if _, err := s.admin.CreateTopic(ctx, rivals.Partitions, 1, nil, site.Topic); err != nil {
		return fmt.Errorf("make a topic: %w", err)
	}
	if err := execute(ctx, s.database, `CREATE DATABASE `+site.Topic+` TEMPLATE template0`); err != nil {
		return fmt.Errorf("make a database: %w", err)
	}
	if system.Setup == nil {
		return nil
	}
	conn, err := pgx.Connect(ctx, site.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := system.Setup(ctx, conn, site); err != nil {
		return fmt.Errorf("make the tables of %s: %w", system.Name, err)
	}
	return nil
}

// remove takes away what site made. What stays behind disturbs only figures of
// disk space, so its errors are not told.
func (s *servers) remove(ctx context.Context, site rivals.Site) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	_ = os.RemoveAll(site.Dir)
	_, _ = s.admin.DeleteTopics(ctx, site.Topic)
	for ctx.Err() == nil {
		// A slot lives as long as its connection is not given up by the server.
		_ = execute(ctx, s.database, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = '`+site.Topic+`' AND active`)
		_ = execute(ctx, s.database, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '`+site.Topic+`' AND NOT active`)
		if execute(ctx, s.database, `DROP DATABASE IF EXISTS `+site.Topic+` WITH (FORCE)`) == nil {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func withDatabase(server, name string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("the database's address is no URL like postgres://user@host:5432/postgres") // and may hold a password
	}
	u.Path = "/" + name
	return u.String(), nil
}

func execute(ctx context.Context, database, statement string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, statement)
	return err
}
