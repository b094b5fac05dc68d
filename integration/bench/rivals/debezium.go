package rivals

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/maven"
)

const (
	debeziumJava = 17
	debeziumHeap = "-Xmx1g"
	// debeziumSlot is also the publication's name.
	debeziumSlot = "tandem_bench_debezium"
)

// debezium is its connector with the outbox event router (pgoutput) in a standalone
// Kafka Connect, which needs no broker's help and no code of ours; see connect.go for
// its settings.
var debezium = System{
	Name:    "Debezium",
	Setup:   debeziumSetup,
	Write:   writeRouted,
	Command: debeziumCommand,
}

// debeziumSetup makes the slot before the backlog is written: what is in the
// table before it would be a snapshot.
func debeziumSetup(ctx context.Context, conn *pgx.Conn, _ Site) error {
	for _, statement := range []string{
		`CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype text NOT NULL, aggregateid text NOT NULL, type text NOT NULL,
			payload text NOT NULL, created_at text NOT NULL)`,
		`CREATE PUBLICATION ` + debeziumSlot + ` FOR TABLE outbox`,
		`SELECT pg_create_logical_replication_slot('` + debeziumSlot + `', 'pgoutput')`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func writeRouted(ctx context.Context, tx pgx.Tx, site Site, events []Event) error {
	ids, keys, payloads := make([]string, len(events)), make([]string, len(events)), make([]string, len(events))
	for i, e := range events {
		ids[i], keys[i], payloads[i] = e.ID, e.Key, string(e.Payload)
	}
	_, err := tx.Exec(ctx, `INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, created_at)
		SELECT e.id, $4, e.key, $5, e.payload, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
		FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS e (id, key, payload, n) ORDER BY n`,
		ids, keys, payloads, site.Topic, eventType)
	return err
}

func debeziumCommand(ctx context.Context, site Site) (*exec.Cmd, error) {
	java, err := maven.Java(ctx, debeziumJava)
	if err != nil {
		return nil, err
	}
	classPath, err := maven.ClassPath(ctx, "debezium", "integration", "bench", "debezium", "pom.xml")
	if err != nil {
		return nil, err
	}
	worker, err := connectWorker(site)
	if err != nil {
		return nil, err
	}
	connector, err := debeziumConnector(site)
	if err != nil {
		return nil, err
	}
	files := map[string]map[string]string{"worker.properties": worker, "connector.properties": connector}
	for name, settings := range files {
		if err := os.WriteFile(filepath.Join(site.Dir, name), []byte(properties(settings)), 0o600); err != nil {
			return nil, err
		}
	}
	return exec.CommandContext(ctx, java, debeziumHeap, "-cp", classPath, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
		"org.apache.kafka.connect.cli.ConnectStandalone",
		filepath.Join(site.Dir, "worker.properties"), filepath.Join(site.Dir, "connector.properties")), nil
}
