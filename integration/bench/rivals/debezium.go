package rivals

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/localproc"
	"github.com/tandem-outbox/tandem/internal/maven"
)

const (
	debeziumJava = 17
	debeziumHeap = "-Xmx1g"
	// debeziumSlot is also the publication's name.
	debeziumSlot = "tandem_bench_debezium"
)

var debezium = System{
	Name: "Debezium",
	About: "Debezium's connector with the outbox event router (pgoutput, Java 17, 1 GB of heap) in a standalone Kafka Connect, the producer with " +
		"acks=all, idempotence and five requests at once, tuned: queues and batches of tens of thousands, linger 5 ms; for latency it polls every millisecond without linger",
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

func connectWorker(site Site) (map[string]string, error) {
	port, err := localproc.FreePort()
	if err != nil {
		return nil, err
	}
	linger := "5"
	if site.steady() {
		linger = "0"
	}
	return map[string]string{
		"bootstrap.servers":                              strings.Join(site.Brokers, ","),
		"listeners":                                      "http://127.0.0.1:" + strconv.Itoa(port),
		"key.converter":                                  "org.apache.kafka.connect.storage.StringConverter",
		"value.converter":                                "org.apache.kafka.connect.storage.StringConverter",
		"header.converter":                               "org.apache.kafka.connect.storage.StringConverter",
		"offset.storage.file.filename":                   filepath.Join(site.Dir, "offsets"),
		"offset.flush.interval.ms":                       "1000",
		"plugin.discovery":                               "service_load",
		"producer.acks":                                  "all",
		"producer.linger.ms":                             linger,
		"producer.batch.size":                            "524288",
		"producer.buffer.memory":                         "134217728",
		"producer.compression.type":                      "none",
		"producer.enable.idempotence":                    "true",
		"producer.max.in.flight.requests.per.connection": "5",
	}, nil
}

func debeziumConnector(site Site) (map[string]string, error) {
	database, err := pgx.ParseConfig(site.DatabaseURL)
	if err != nil {
		return nil, err
	}
	settings := map[string]string{
		"name":                        "outbox",
		"connector.class":             "io.debezium.connector.postgresql.PostgresConnector",
		"tasks.max":                   "1",
		"database.hostname":           database.Host,
		"database.port":               strconv.Itoa(int(database.Port)),
		"database.user":               database.User,
		"database.password":           database.Password,
		"database.dbname":             database.Database,
		"topic.prefix":                "bench",
		"plugin.name":                 "pgoutput",
		"slot.name":                   debeziumSlot,
		"publication.name":            debeziumSlot,
		"publication.autocreate.mode": "disabled",
		"snapshot.mode":               "no_data",
		"table.include.list":          "public.outbox",
		"tombstones.on.delete":        "false",
		"max.batch.size":              "16384",
		"max.queue.size":              "65536",
		"poll.interval.ms":            "20",
		"transforms":                  "outbox",
		"transforms.outbox.type":      "io.debezium.transforms.outbox.EventRouter",
		"transforms.outbox.table.fields.additional.placement": "type:header:ce_type,created_at:header:ce_time",
		"transforms.outbox.route.topic.replacement":           "${routedByValue}",
	}
	if site.steady() {
		settings["poll.interval.ms"] = "1"
		settings["max.batch.size"] = "2048"
		settings["max.queue.size"] = "8192"
	}
	return settings, nil
}

func properties(settings map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s=%s\n", name, strings.ReplaceAll(settings[name], `\`, `\\`))
	}
	return b.String()
}
