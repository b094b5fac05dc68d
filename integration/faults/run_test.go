package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/integration/faults"
	"github.com/tandem-outbox/tandem/internal/localproc"
	"github.com/tandem-outbox/tandem/internal/testlinks"
)

// The topics of a run, by what happens to them.
const (
	orders   = "orders"
	growing  = "growing"  // gets a partition
	narrow   = "narrow"   // does not take large records
	metrics  = "metrics"  // of events that are sent at most once; not consumed
	doomed   = "doomed"   // is deleted and made again; not consumed
	receipts = "receipts" // of what the consumers have done
)

// narrowBytes is the largest record of the topic that is narrow.
const narrowBytes = 8000

var partitionsOf = map[string]int32{orders: 4, growing: 2, narrow: 2, metrics: 2, doomed: 1, receipts: 2}

// consumed are the topics that are, under the consumers' name.
var consumed = []string{orders, growing, narrow}

const (
	billing     = "billing"
	maxAttempts = 4
	fakeBrokers = 2
)

// run is one, of a seed.
type run struct {
	t        *testing.T
	plan     plan
	programs programs
	slot     *slot
	fake     *kfake.Cluster // nil where Kafka is real
	database string         // without a network in between
	pool     *pgxpool.Pool
	client   *kgo.Client
	admin    *kadm.Client
	topics   map[string]string // names, by what they are called here
	name     string            // the consumers'

	writersLink       *testlinks.Postgres
	relays, consumers []*process
	writers           *writers
	tail              *tail
	offered           *offered // to fake brokers
	journal           *journal

	postgresBusy, topicsBusy sync.Mutex
	hasty                    atomic.Bool // no writer waits for the disk
	grown                    bool
	remade                   time.Time // when the doomed topic was last made again
	stopDoomed               func()    // stops following it

	mu         sync.Mutex
	idle       bool // at the end all who work say that all is done
	happened   map[string]int
	violations []string
}

func newRun(t *testing.T, h *house, parent *testing.T, p plan) *run {
	t.Helper()
	r := &run{t: t, plan: p, programs: h.programs, slot: h.open(t, parent), journal: &journal{}, happened: map[string]int{}, topics: map[string]string{}}
	r.database = r.slot.database(t)
	r.name = fmt.Sprintf("%s-%d-%d", billing, p.seed, r.slot.runs.Load())
	var err error
	r.pool, err = pgxpool.New(context.Background(), r.database)
	require.NoError(t, err)
	t.Cleanup(r.pool.Close)
	brokers := r.brokers()
	r.client, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(r.client.Close)
	r.admin = kadm.NewClient(r.client)
	t.Cleanup(r.dropTopics)
	r.tail = newTail(t, brokers)
	var stay []string
	for topic := range partitionsOf {
		r.topics[topic] = fmt.Sprintf("%s-%d-%d", topic, p.seed, r.slot.runs.Load())
		r.makeTopic(t.Context(), topic)
		if topic != doomed {
			stay = append(stay, r.topics[topic])
		}
	}
	if r.fake != nil {
		r.offered = watchOffers(r.fake, r.topics[growing], partitionsOf[growing])
	}
	r.tail.follow(stay...)
	r.stopDoomed = r.tail.follow(r.topics[doomed])
	for i := range 2 {
		r.relays = append(r.relays, r.newRelay(fmt.Sprint("relay-", i), brokers))
		r.consumers = append(r.consumers, r.newConsumer(fmt.Sprint("consumer-", i), brokers))
	}
	r.writersLink = testlinks.NewPostgres(t, r.database)
	r.writers = r.newWriters()
	return r
}

func (r *run) brokers() []string {
	if r.plan.real {
		return r.slot.kafka.Brokers()
	}
	var err error
	r.fake, err = kfake.NewCluster(kfake.NumBrokers(fakeBrokers), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	require.NoError(r.t, err)
	r.t.Cleanup(r.fake.Close)
	return r.fake.ListenAddrs()
}

// makeTopic returns when every partition has a leader that knows it.
func (r *run) makeTopic(ctx context.Context, topic string) {
	stamp := "LogAppendTime" // by the broker, so that the oracle may believe it
	config := map[string]*string{"message.timestamp.type": &stamp}
	if topic == narrow {
		bytes := fmt.Sprint(narrowBytes)
		config["max.message.bytes"] = &bytes
	}
	r.until(ctx, "topic "+topic+" is made", func(ctx context.Context) bool {
		made, err := r.admin.CreateTopics(ctx, partitionsOf[topic], 1, config, r.topics[topic])
		_ = made // it may be there from an attempt before
		return err == nil && r.led(ctx, topic)
	})
}

func (r *run) led(ctx context.Context, topic string) bool {
	ends, err := r.admin.ListEndOffsets(ctx, r.topics[topic])
	return err == nil && ends.Error() == nil && len(ends[r.topics[topic]]) >= int(partitionsOf[topic])
}

func (r *run) dropTopics() {
	if !r.plan.real {
		return // they go with their cluster
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, name := range r.topics {
		if _, err := r.admin.DeleteTopics(ctx, name); err != nil {
			r.t.Errorf("delete topic %s: %v", name, err)
		}
	}
}

// newProcess has a network of its own to either server.
func (r *run) newProcess(name, path string, brokers []string) *process {
	p := &process{run: r, name: name, path: path, postgres: testlinks.NewPostgres(r.t, r.database), kafka: testlinks.NewKafka(r.t, brokers)}
	r.t.Cleanup(p.kill)
	return p
}

func (r *run) newRelay(name string, brokers []string) *process {
	p := r.newProcess(name, r.programs.tandem, brokers)
	port, err := localproc.FreePort()
	require.NoError(r.t, err)
	p.http = net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	p.arguments = []string{
		"relay", "--database-url", p.postgres.URL(), "--kafka-brokers", strings.Join(p.kafka.Brokers(), ","),
		"--lease", r.plan.lease.String(), "--save-every", r.plan.save.String(), "--topic-timeout", "1s", "--drain-timeout", "2s",
		"--start-timeout", "5m", "--http-addr", p.http, "--log-level", "debug", "--source", "/tandem/faults",
	}
	return p
}

func (r *run) newConsumer(name string, brokers []string) *process {
	p := r.newProcess(name, r.programs.consumer, brokers)
	o := faults.Order{
		Database: p.postgres.URL(), Brokers: p.kafka.Brokers(), Consumer: r.name, Receipts: r.topics[receipts],
		Handler: r.plan.handler, Session: int(r.plan.session.Milliseconds()), Attempts: maxAttempts,
	}
	for _, topic := range consumed {
		o.Topics = append(o.Topics, r.topics[topic])
	}
	text, err := json.Marshal(o)
	require.NoError(r.t, err)
	p.environment = []string{faults.ConsumerVariable + "=" + string(text)}
	return p
}

func (r *run) newWriters() *writers {
	config, err := pgxpool.ParseConfig(r.writersLink.URL())
	require.NoError(r.t, err)
	config.MaxConns = int32(r.plan.writers + 2)
	config.ConnConfig.ConnectTimeout = 2 * time.Second
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(r.t, err)
	r.t.Cleanup(pool.Close)
	return &writers{run: r, pool: pool}
}

// tandem runs a command of the program's, without a network in between.
func (r *run) tandem(ctx context.Context, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.programs.tandem, append(arguments, "--database-url", r.database)...)
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	err := cmd.Run()
	return text.String(), err
}

func (r *run) processes() []*process {
	return append(append([]*process{}, r.relays...), r.consumers...)
}

// fail notes what is wrong.
func (r *run) fail(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	r.journal.note("oracle", "%s", text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, text)
}

func (r *run) found() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.violations...)
}

func (r *run) met(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.happened[name]++
}

// until waits for something that comes by itself.
func (r *run) until(ctx context.Context, what string, there func(context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !there(ctx) {
		if ctx.Err() != nil {
			r.fail("not within %s: %s", patience, what)
			return false
		}
		pause(ctx, 200*time.Millisecond)
	}
	return true
}

// carryOut is the whole run.
func (r *run) carryOut(ctx context.Context) report {
	for _, p := range r.processes() {
		p.start()
	}
	writing, stop := context.WithCancel(ctx)
	r.writers.write(writing)
	r.suffer(ctx)
	stop()
	r.writers.active.Wait()
	r.journal.note("nemesis", "the faults have ended")
	r.settle(ctx)
	counts := r.scrape(ctx)
	for _, p := range r.processes() {
		p.end(syscall.SIGTERM)
	}
	r.counted(&counts)
	h, err := r.read(ctx)
	if err != nil {
		r.fail("read what there is: %v", err)
		return r.report(nil)
	}
	h.counts = counts
	for _, v := range h.judge() {
		r.fail("%s", v)
	}
	return r.report(h)
}
