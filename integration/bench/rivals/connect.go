package rivals

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/localproc"
)

// connectWorker are the settings of Kafka Connect.
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

// debeziumConnector are those of Debezium.
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
