package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tandem-outbox/tandem/internal/bench"
	"github.com/tandem-outbox/tandem/internal/testcerts"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// leftBehind are the database and the topics of a benchmark that there are.
func leftBehind(t *testing.T, stderr, database string, brokers []string) []string {
	t.Helper()
	told := regexp.MustCompile(`(?m)^made database (tandem_bench_[a-z0-9]{8})$`).FindStringSubmatch(stderr)
	require.NotNil(t, told, stderr)
	rows, err := connect(t, database).Query(t.Context(), `SELECT datname FROM pg_database WHERE datname = $1`, told[1])
	require.NoError(t, err)
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	if len(brokers) == 0 {
		return left
	}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport}
	metadata, err := client.Metadata(t.Context(), &kafka.MetadataRequest{})
	require.NoError(t, err)
	for _, topic := range metadata.Topics {
		if strings.HasPrefix(topic.Name, strings.ReplaceAll(told[1], "_", "-")) {
			left = append(left, topic.Name)
		}
	}
	return left
}

// Every measurement, small: what it counts must be right, whatever its speed.
func TestBench(t *testing.T) {
	t.Parallel()
	database, brokers := testservers.Postgres(t), testservers.Kafka(t)
	r := tandemWithin(t, 5*time.Minute, environment(database, strings.Join(brokers, ",")), "bench", "--quick", "--json")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Empty(t, leftBehind(t, r.stderr, database, brokers))

	var report bench.Report
	decoder := json.NewDecoder(strings.NewReader(r.stdout))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&report))
	require.ErrorIs(t, decoder.Decode(&report), io.EOF, "more than the report")
	require.NotEmpty(t, report.Environment.Postgres)
	require.NotEmpty(t, report.Environment.Settings["fsync"])
	require.Contains(t, report.Environment.Kafka, "brokers: 1")

	cases := map[string]int{}
	for _, r := range report.Results {
		cases[r.Measure+"/"+r.Case]++
		require.NotNil(t, r.Audit, r)
		require.True(t, r.Audit.Clean(), r)
		require.Equal(t, "tandem", r.System)
		require.Equal(t, 1, r.Round)
		require.Positive(t, r.Seconds, r)
		if r.Measure == "idle" {
			continue
		}
		require.Positive(t, r.Rate, r)
		require.Positive(t, r.Audit.Expected, r)
		require.Equal(t, r.Against != "", r.Ratio > 0, r)
		for name, l := range r.Latency {
			require.Positive(t, l.Count, name)
			require.LessOrEqual(t, l.P50, l.P99, name)
			require.LessOrEqual(t, l.P99, l.Max, name)
		}
	}
	require.Equal(t, map[string]int{
		"write/none": 2, "write/SELECT 1": 2, "write/sequential": 2, "write/pipelined": 2, "write/sql": 2,
		"drain/backlog": 1, "drain/backlog, a snapshot held": 1, "steady/200/s": 1,
		"consume/batch handler": 1, "consume/batch handler, no inbox": 1,
		"consume/message handler": 1, "consume/message handler, no inbox": 1, "idle/empty log": 1,
	}, cases)
}

// Without brokers the log itself is read.
func TestBenchWriteWithoutKafka(t *testing.T) {
	t.Parallel()
	database := testservers.Postgres(t)
	r := tandem(t, []string{"TANDEM_DATABASE_URL=" + database}, "bench", "write", "--clients", "1,3", "--rounds", "2", "--slice", "20ms")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Regexp(t, `(?m)^sequential +3 +[\d,]+ .* of SELECT 1 +clean$`, r.stdout)
	require.Contains(t, r.stdout, "\nPostgreSQL ")
	require.NotContains(t, r.stdout, "Kafka")
	require.Contains(t, r.stderr, "write: slices with clients: 3\n")
}

func TestBenchPutsEverythingAwayWhenInterrupted(t *testing.T) {
	t.Parallel()
	database, brokers := testservers.Postgres(t), testservers.Kafka(t)
	env := environment(database, strings.Join(brokers, ","))
	ctx, interrupt := context.WithCancel(t.Context())
	stdout, stderr := newOutput(), newOutput()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"bench", "drain", "--events", "1000000"}, system{env: env, stdout: stdout, stderr: stderr})
	}()
	stderr.await(t, "events written")
	require.Len(t, leftBehind(t, stderr.String(), database, brokers), 3, "its database, a topic to look at and one to fill")
	interrupt()
	require.Equal(t, exitFailed, <-code)
	require.Equal(t, "tandem bench drain: interrupted\n", stderr.String()[strings.LastIndex(strings.TrimSpace(stderr.String()), "\n")+1:])
	require.Empty(t, stdout.String())
	require.Empty(t, leftBehind(t, stderr.String(), database, brokers))
}

func TestBenchKeepsWhatItIsToldToKeep(t *testing.T) {
	t.Parallel()
	database := testservers.Postgres(t)
	r := tandem(t, []string{"TANDEM_DATABASE_URL=" + database}, "bench", "write", "--clients", "1", "--rounds", "1", "--slice", "1ms", "--keep")
	require.Equal(t, exitDone, r.code, r.stderr)
	left := leftBehind(t, r.stderr, database, nil)
	require.Len(t, left, 1)
	execute(t, database, "DROP DATABASE "+left[0])
	require.Contains(t, r.stderr, "kept database "+left[0])
}

func TestBenchNeedsCreateDB(t *testing.T) {
	t.Parallel()
	database := testservers.Postgres(t)
	user := role(t, database, "NOCREATEDB")
	r := tandem(t, []string{"TANDEM_DATABASE_URL=" + withUser(t, database, user, "secret")}, "bench", "write")
	r.oneLineOf(t, "permission denied to create database", "ALTER ROLE \""+user+"\" CREATEDB")
}

// CREATEDB is enough: neither superuser nor CREATEROLE.
func TestBenchNeedsNothingButCreateDB(t *testing.T) {
	t.Parallel()
	database := testservers.Postgres(t)
	user := role(t, database, "CREATEDB")
	r := tandem(t, environment(withUser(t, database, user, "secret"), strings.Join(testservers.Kafka(t), ",")), "bench", "drain", "--events", "1000", "--rounds", "1")
	require.Equal(t, exitDone, r.code, r.stderr)
}

// role makes a login with the password "secret" for the test.
func role(t *testing.T, database, attribute string) string {
	t.Helper()
	name := "bencher_" + strings.ToLower(attribute)
	execute(t, database, "DROP ROLE IF EXISTS "+name, "CREATE ROLE "+name+" LOGIN PASSWORD 'secret' "+attribute)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), database)
		require.NoError(t, err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), "DROP ROLE "+name)
		require.NoError(t, err)
	})
	return name
}

func TestBenchRefusesWhatItCannotMeasure(t *testing.T) {
	t.Parallel()
	// Nothing listens there: what is wrong with the flags is said first.
	env := environment("postgres://nobody@127.0.0.1:1/none", "127.0.0.1:1")
	for args, problem := range map[string]string{
		"bench --rate 0":                  `--rate "0": it is too small; allowed is numbers from 1 to 1000000, separated by commas`,
		"bench write --clients 1,,4":      `--clients "1,,4": "" is no number`,
		"bench write --clients 2000":      `--clients "2000": it is too large`,
		"bench write --payload 10":        `--payload "10": it is too small; allowed is a number from 29 to 900000`,
		"bench write --slice 5":           `--slice "5": it is no duration`,
		"bench write --rounds=":           `--rounds is empty`,
		"bench drain --events 1":          `--events "1": it is too small`,
		"bench drain --partitions many":   `--partitions "many": "many" is no number`,
		"bench steady --each 3":           `--each "3": it does not divide it; allowed is a number from 1 to 1000 that divides 10000`,
		"bench steady --duration 0s":      `--duration "0s": it is too short`,
		"bench consume --batch 10,100000": `--batch "10,100000": it is too large`,
		"bench sideways":                  `unknown command "sideways" for "tandem bench"`,
	} {
		r := tandem(t, env, strings.Fields(args)...)
		require.Equal(t, exitUsage, r.code, args)
		require.Contains(t, r.stderr, problem, args)
	}
	r := tandem(t, []string{"TANDEM_DATABASE_URL=postgres://nobody@127.0.0.1:1/none"}, "bench", "steady")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "--kafka-brokers is missing")
}

// Kafka is looked at before anything is made.
func TestBenchWantsBothServersBeforeItBegins(t *testing.T) {
	t.Parallel()
	tandem(t, environment("postgres://nobody@127.0.0.1:1/none", "127.0.0.1:1"), "bench", "drain").
		oneLineOf(t, "Kafka at 127.0.0.1:1", "check --kafka-brokers")
	tandem(t, []string{"TANDEM_DATABASE_URL=postgres://nobody@127.0.0.1:1/none"}, "bench", "write").
		oneLineOf(t, "127.0.0.1:1", "check the address in --database-url and its sslmode, and that PostgreSQL is running there")
}

func TestBenchSaysWhatTheAuditFound(t *testing.T) {
	t.Parallel()
	good, bad := bench.Audit{Expected: 10}, bench.Audit{Expected: 10, Lost: 2, Strange: 1}
	report := bench.Report{Results: []bench.Result{
		{Measure: "drain", Case: "backlog", Round: 1, Rate: 30, Rates: []float64{1, 1}, Events: 10, Audit: &good},
		{Measure: "drain", Case: "backlog", Round: 2, Rate: 10, Rates: []float64{1, 1}, Events: 10, Audit: &bad},
	}}
	require.ErrorContains(t, judge(report), "the audit of drain, backlog is not clean: 2 lost, 0 duplicated, 0 out of order, 1 that are none of the run, of 10")
	require.NoError(t, judge(bench.Report{Results: report.Results[:1]}))
	stdout := newOutput()
	require.NoError(t, printBench(system{stdout: stdout}, report, false))
	require.Regexp(t, `(?m)^backlog +10 +20 .*2 LOST, 0 DUPLICATED`, stdout.String())
}

// All of its clients of Kafka encrypt and log in.
func TestBenchByTLSAndSASL(t *testing.T) {
	t.Parallel()
	ca := testcerts.NewAuthority(t, "ours")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "bencher", "right"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{ca.Issue(t, "kafka", "127.0.0.1").TLS(t)}}))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	env := environment(testservers.Postgres(t), cluster.ListenAddrs()[0],
		"TANDEM_KAFKA_TLS=true", "TANDEM_KAFKA_TLS_CA="+testcerts.File(t, "ca.pem", ca.PEM),
		"TANDEM_KAFKA_SASL_MECHANISM=scram-sha-256", "TANDEM_KAFKA_SASL_USERNAME=bencher")

	r := tandem(t, append(env, "TANDEM_KAFKA_SASL_PASSWORD=wr0ng"), "bench", "drain")
	r.oneLineOf(t, "cannot talk to Kafka", "SASL")
	require.NotContains(t, r.stdout+r.stderr, "wr0ng")
	env = append(env, "TANDEM_KAFKA_SASL_PASSWORD=right")
	for _, measure := range []string{"drain --events 1000 --rounds 1", "steady --rate 500 --each 5 --duration 1s", "consume --events 1000 --batch 100 --rounds 1"} {
		r = tandem(t, env, append([]string{"bench"}, strings.Fields(measure)...)...)
		require.Equal(t, exitDone, r.code, r.stderr)
		require.Contains(t, r.stdout, " clean\n")
	}
}
