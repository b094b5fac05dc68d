package main

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// relayOptions are the settings of "tandem relay".
type relayOptions struct {
	database     *pgx.ConnConfig
	passwordFile string
	kafka        kafkaOptions
	schema       string
	source       string
	lease        time.Duration
	startTimeout time.Duration
	drainTimeout time.Duration
	topicTimeout time.Duration
	saveEvery    time.Duration
	keepLeaves   int
	syncStandbys bool
	batchBytes   int
	inFlight     int
	untilEmpty   bool
	httpAddr     string
	observe      observeOptions
	logFormat    string
	logLevel     slog.Level
}

// group is settings that belong together, for whoever reads about all of them.
type group struct {
	title    string
	settings []*setting
}

// groups are all settings that a file may hold: other commands have some of them.
func (o *relayOptions) groups() []group {
	return []group{
		{"PostgreSQL", []*setting{databaseLogin(&o.database, &o.passwordFile), schemaName(&o.schema)}},
		{"Kafka", append(o.kafka.settings(), source(&o.source))},
		{"Handing over, starting, stopping", o.lifeSettings()},
		{"How much at a time", o.sizeSettings()},
		{"What is published, and what is kept", []*setting{
			duration(&o.topicTimeout, "topic-timeout", "how long events wait in memory for a topic or partition that cannot be written to, before they are set aside in the database", 5*time.Second, time.Millisecond),
			keepLeaves(&o.keepLeaves),
			toggle(&o.syncStandbys, "sync-standbys", "publish only what is on the standbys of synchronous_standby_names too; while they are away, nothing"),
		}},
		{"Watching it", append([]*setting{httpAddr(&o.httpAddr)}, o.observe.settings()...)},
		{"Its own log", []*setting{
			choice(&o.logFormat, "log-format", "the form of the log, which goes to stderr", "text", "text", "json"),
			logLevel(&o.logLevel),
		}},
	}
}

func (o *relayOptions) settings() (all []*setting) {
	for _, g := range o.groups() {
		all = append(all, g.settings...)
	}
	return all
}

func (o *relayOptions) lifeSettings() []*setting {
	lease := duration(&o.lease, "lease", "how long a relay that has vanished keeps others from taking over", 5*time.Second, 300*time.Millisecond)
	saveEvery := duration(&o.saveEvery, "save-every", "the least time between two saves of the checkpoint; what came after the last one is published again if the relay is killed", 20*time.Millisecond, time.Millisecond)
	saveEvery.check = func() []string {
		if o.saveEvery < o.lease || o.lease == 0 { // which has been said to be wrong
			return nil
		}
		return []string{fmt.Sprintf("%s and %s: a relay that saves no more often than its lease runs out may lose the lease with nothing saved; allowed is a --save-every shorter than --lease, for example %s", saveEvery.named(), lease.named(), saveEvery.example)}
	}
	return []*setting{
		lease,
		saveEvery,
		duration(&o.startTimeout, "start-timeout", "how long to wait at the start for what cannot be reached", 30*time.Second, time.Millisecond),
		duration(&o.drainTimeout, "drain-timeout", "how long to go on publishing what was read, once told to stop", 10*time.Second, time.Millisecond),
		toggle(&o.untilEmpty, "until-empty", "end when everything that was visible at the start is published, set aside or dropped"),
	}
}

func (o *relayOptions) sizeSettings() []*setting {
	batch := size(&o.batchBytes, "batch-bytes", "the most that one request to Kafka carries, below the brokers' message.max.bytes", 900_000, 1000)
	inFlight := size(&o.inFlight, "bytes-in-flight", "the most that is read and not acknowledged yet; the relay needs some four times as much memory", 16<<20, 4<<20)
	inFlight.check = func() []string {
		if o.batchBytes <= o.inFlight {
			return nil
		}
		return []string{fmt.Sprintf("%s and %s: a request carries no more than is in flight; allowed is a --batch-bytes up to --bytes-in-flight, for example %s", batch.named(), inFlight.named(), batch.example)}
	}
	return []*setting{batch, inFlight}
}

// withAlso are the settings, each followed by those that come with it.
func withAlso(settings []*setting) (all []*setting) {
	for _, s := range settings {
		all = append(all, s)
		all = append(all, s.also...)
	}
	return slices.Clip(all)
}
