package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"

	"github.com/tandem-outbox/tandem/internal/kafkalinks"
	"github.com/tandem-outbox/tandem/relay"
)

const (
	// metadataTimeout bounds one question about topics or brokers.
	metadataTimeout = 5 * time.Second
	// dialTimeout bounds connecting with TLS, and authenticating.
	dialTimeout = 5 * time.Second
	// closeTimeout bounds the wait for connections that were cut.
	closeTimeout = 5 * time.Second
	// brokersTTL bounds how long a broker that joins the cluster, or comes
	// back under another address, goes unnoticed. Only the list of brokers is
	// fetched so often, not that of the topics.
	brokersTTL = 2 * time.Second
	// maxPooledBytes is the largest buffer that is kept for the next batch.
	maxPooledBytes = 4 << 20
)

// Publisher sends events to Kafka. It is a relay.Publisher; many goroutines may
// use it at a time. Make it with New and end it with Close.
type Publisher struct {
	config    Config
	topics    *topics
	encoders  sync.Pool // of *encoder
	addr      net.Addr
	dialer    *kafkalinks.Dialer
	transport *kafka.Transport

	// calls is read-locked by each call under way and locked by Close.
	// closing ends the calls' contexts.
	calls   sync.RWMutex
	closed  bool
	closing context.Context
	cancel  context.CancelFunc
}

var _ relay.Publisher = (*Publisher)(nil)

// errClosed is what every call returns after Close.
var errClosed = errors.New("relaykafka: the publisher is closed")

// New returns a publisher, or an error that names every field of config that is
// wrong. It connects to nothing: Check does.
func New(config Config) (*Publisher, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	p := &Publisher{
		config: config,
		addr:   kafka.TCP(config.Brokers...),
		dialer: kafkalinks.New(kafkalinks.Options{Timeout: dialTimeout, TLS: config.newTLS, Silence: dialTimeout}),
	}
	p.encoders.New = func() any { return newEncoder(config.Source) }
	p.closing, p.cancel = context.WithCancel(context.Background())
	p.topics = &topics{ask: p.ask, ttl: config.MetadataTTL, logger: config.Logger, known: map[string]*topicEntry{}}
	p.transport = &kafka.Transport{
		Dial:           p.dialer.Dial,
		DialTimeout:    dialTimeout,
		MetadataTTL:    brokersTTL,
		MetadataTopics: []string{}, // none, where nil would be all
		ClientID:       config.ClientID,
		SASL:           config.SASL,
		Context:        p.closing,
	}
	return p, nil
}

// Close ends the calls under way with an error, cuts the connections and waits
// for their goroutines. What was already sent may still be appended. It returns
// an error where a goroutine does not end within 5s.
func (p *Publisher) Close() error {
	p.cancel()
	p.calls.Lock()
	defer p.calls.Unlock()
	p.closed = true
	p.transport.CloseIdleConnections()
	if err := p.dialer.Close(closeTimeout); err != nil {
		return fmt.Errorf("relaykafka: close: %w", err)
	}
	return nil
}

// begin opens a call: it returns a context that ends with ctx, after limit and
// with Close, and the function that ends the call.
func (p *Publisher) begin(ctx context.Context, limit time.Duration) (context.Context, func(), error) {
	p.calls.RLock()
	if p.closed {
		p.calls.RUnlock()
		return nil, nil, errClosed
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	stop := context.AfterFunc(p.closing, cancel)
	return ctx, func() {
		stop()
		cancel()
		p.calls.RUnlock()
	}, nil
}

// Partitions returns how many partitions topic has, from memory where it was
// asked within Config.MetadataTTL or no broker answers now. A topic that is
// missing or forbidden is a relay.PublishError with RefusedTopic and is asked
// for anew each time; it is never created.
func (p *Publisher) Partitions(ctx context.Context, topic string) (int, error) {
	ctx, end, err := p.begin(ctx, metadataTimeout)
	if err != nil {
		return 0, err
	}
	defer end()
	return p.topics.partitions(ctx, topic)
}

// Publish appends events to the partition in one request and returns nil when
// all in-sync replicas have them. It takes at most Config.ProduceTimeout. When
// ctx ends before the request is on its way, nothing is sent; a request that is
// on its way is not called back. See relay.Publisher for its errors.
func (p *Publisher) Publish(ctx context.Context, topic string, partition int, events []*relay.Event) error {
	if len(events) == 0 {
		return nil
	}
	ctx, end, err := p.begin(ctx, p.config.ProduceTimeout)
	if err != nil {
		return err
	}
	defer end()
	leader, layout, err := p.topics.leader(ctx, topic, partition)
	var missing *noPartitionError
	switch {
	case errors.As(err, &missing):
		return judgePartition(missing, events)
	case err != nil:
		return p.judge(err, topic)
	}
	err = p.send(ctx, leader, topic, partition, events)
	if err == nil {
		return nil
	}
	err = p.judge(fmt.Errorf("relaykafka: %d events to topic %q partition %d: %w", len(events), topic, partition, err), topic)
	if len(events) == 1 {
		nameSize(err, sizeHint(p.config.Source, topic, events))
	}
	if !has(relay.RefusedRecords, err) {
		layout.stale.Store(true)
	}
	return err
}

// send encodes and produces the events. The encoder is kept for the next batch
// unless a connection's goroutine may still be reading its buffer.
func (p *Publisher) send(ctx context.Context, leader int32, topic string, partition int, events []*relay.Event) error {
	e := p.encoders.Get().(*encoder)
	e.buf = slices.Grow(e.buf[:0], sizeHint(p.config.Source, topic, events))
	brokerTimeout := uint32(p.config.ProduceTimeout.Milliseconds() / 2)
	e.buf = appendProduceHead(e.buf, p.config.ClientID, topic, partition, brokerTimeout)
	batchAt := len(e.buf)
	if err := e.appendBatch(topic, events); err != nil {
		p.recycle(e)
		return &relay.PublishError{Verdict: relay.RefusedRecords, Hint: "look at the event in the log, its writer went around outbox.Add and tandem.add", Err: err}
	}
	finishProduce(e.buf, batchAt)

	request := &produceRequest{leader: leader, bytes: e.buf}
	response, err := p.transport.RoundTrip(ctx, p.addr, request)
	if err == nil || request.abandon() {
		p.recycle(e)
	}
	if err != nil {
		return err
	}
	return answerError(response.(*produce.Response))
}

func (p *Publisher) recycle(e *encoder) {
	if cap(e.buf) <= maxPooledBytes {
		p.encoders.Put(e)
	}
}

// ask asks the brokers for one topic.
func (p *Publisher) ask(ctx context.Context, topic string) (*layout, error) {
	if topic == "" || len(topic) > maxTopicLen {
		return nil, p.judge(fmt.Errorf("relaykafka: topic %q: %w", topic, kafka.InvalidTopic), topic)
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	response, err := p.metadata(ctx, []string{topic})
	if err != nil {
		return nil, p.judge(fmt.Errorf("relaykafka: asking for topic %q: %w", topic, err), topic)
	}
	l, err := layoutOf(topic, response)
	if err != nil {
		return nil, p.judge(fmt.Errorf("relaykafka: topic %q: %w", topic, err), topic)
	}
	return l, nil
}

// metadata asks a broker, none of the caches in between.
func (p *Publisher) metadata(ctx context.Context, names []string) (*metadata.Response, error) {
	response, err := p.transport.RoundTrip(ctx, p.addr, &metadataRequest{topics: names, clientID: p.config.ClientID})
	if err != nil {
		return nil, err
	}
	return response.(metadataAnswer).Response, nil
}

var (
	_ protocol.BrokerMessage = (*produceRequest)(nil)
	_ protocol.RawExchanger  = (*produceRequest)(nil)
	_ protocol.RawExchanger  = (*metadataRequest)(nil)
)
