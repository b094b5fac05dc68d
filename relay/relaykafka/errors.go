package relaykafka

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/produce"

	"github.com/tandem-outbox/tandem/relay"
)

// This file alone decides what an error of Kafka means for the relay.
//
// Retry is the answer to all that is not listed in rulings: codes that a later
// Kafka adds, codes that are not meant for a producer, lost connections, and
// answers that did not come in time. It holds one lane and loses nothing, while
// a wrong refusal parks good events. Retry in place therefore also covers
//
//   - elections and moves (5, 6, 9, 74, 75, 80, 83), too few replicas (19, 20),
//     timeouts (7), a broker's disk (56), quotas (89): they pass by themselves;
//   - CORRUPT_MESSAGE (2): the batch left here with a right checksum, so that it
//     was damaged on its way. Kafka's own producer retries it too; what brokers
//     before 2.4 also meant by it, a record without key in a compacted topic,
//     is INVALID_RECORD since;
//   - UNSUPPORTED_COMPRESSION_TYPE (76): nothing is compressed here, so that no
//     record can be at fault.
//
// REQUEST_TIMED_OUT (7) and NOT_ENOUGH_REPLICAS_AFTER_APPEND (20) say that the
// batch has been appended and may yet be lost: it is sent again, its outcome
// is unknown.
var rulings = map[kafka.Error]ruling{
	// The broker will not take these records, however often they come. The
	// sizes are those of the whole batch: the relay splits it until one record
	// stands alone.
	kafka.MessageSizeTooLarge: {relay.RefusedRecords, "raise max.message.bytes of the topic, or message.max.bytes of the brokers, or make the event smaller: kafka-configs.sh --bootstrap-server <brokers> --alter --entity-type topics --entity-name <topic> --add-config max.message.bytes=<bytes>"},
	kafka.RecordListTooLarge:  {relay.RefusedRecords, "the batch is larger than a segment of the topic: raise its segment.bytes, or make the event smaller"},
	kafka.InvalidRecord:       {relay.RefusedRecords, "the brokers' validation refuses the record: a compacted topic takes no events without a key, and a schema may be enforced"},
	kafka.InvalidTimestamp:    {relay.RefusedRecords, "the event is older or newer than the topic allows: raise its message.timestamp.before.max.ms or message.timestamp.after.max.ms, or set message.timestamp.type=LogAppendTime"},
	// Apache's brokers do not give this to producers, proxies and hosted
	// brokers with rules about records do. Where the rule is about the topic,
	// the relay sees record after record refused and holds the topic.
	kafka.PolicyViolation: {relay.RefusedRecords, "a policy of the brokers or of a proxy before them forbids the record"},

	// Nothing can be written to the topic as things are. A topic that was just
	// made can be unknown for a moment: the relay asks again.
	kafka.UnknownTopicOrPartition:     {relay.RefusedTopic, "create the topic: kafka-topics.sh --bootstrap-server <brokers> --create --topic <topic> --partitions 6"},
	kafka.InvalidTopic:                {relay.RefusedTopic, "the brokers take no such topic name: up to 249 letters, digits, dots, underscores and hyphens, and none of Kafka's internal topics"},
	kafka.TopicAuthorizationFailed:    {relay.RefusedTopic, "grant the relay's principal WRITE and DESCRIBE: kafka-acls.sh --bootstrap-server <brokers> --add --allow-principal User:<name> --operation Write --operation Describe --topic <topic>"},
	kafka.ClusterAuthorizationFailed:  {relay.RefusedTopic, "the brokers forbid this client to write at all: look at the ACLs of the relay's principal"},
	kafka.UnsupportedForMessageFormat: {relay.RefusedTopic, "the topic keeps a message format from before Kafka 0.11, which has no headers: set its message.format.version to 0.11.0 or newer"},

	// These are retried like everything else, with words for the operator.
	kafka.Unknown:                            {relay.Retry, "the brokers' logs say what failed"},
	kafka.KafkaStorageError:                  {relay.Retry, "a disk of the partition's leader has failed"},
	kafka.NotEnoughReplicas:                  {relay.Retry, "fewer replicas are in sync than the topic's min.insync.replicas: look for brokers that are down"},
	kafka.NotEnoughReplicasAfterAppend:       {relay.Retry, "fewer replicas are in sync than the topic's min.insync.replicas: look for brokers that are down"},
	kafka.LeaderNotAvailable:                 {relay.Retry, "the partition has no leader: look for brokers that are down"},
	kafka.UnsupportedSASLMechanism:           {relay.Retry, hintMechanism},
	kafka.SASLAuthenticationFailed:           {relay.Retry, hintPassword},
	kafka.IllegalSASLState:                   {relay.Retry, "this listener of the brokers takes no SASL login: leave the login out, or give the address of the listener that takes one"},
	kafka.UnsupportedVersion:                 {relay.Retry, "the brokers are too old or too new for this client: Apache Kafka 0.11 or newer is needed"},
	kafka.InvalidRequest:                     {relay.Retry, "the brokers do not understand the request, their logs say why"},
	kafka.TransactionalIDAuthorizationFailed: {relay.Retry, "the brokers see a transaction where there is none: look for a proxy in between"},
}

const (
	hintMechanism = "the brokers do not offer this SASL mechanism: look at their sasl.enabled.mechanisms"
	hintPassword  = "the brokers do not accept the user name or the password"
)

// ruling is what the relay does about an error, and what an operator can do.
// In a hint, <brokers> and <topic> stand for the real ones, and <bytes> for what
// nameSize says.
type ruling struct {
	verdict relay.Verdict
	hint    string
}

// brokerError returns what a broker answered.
func brokerError(code int16, message string) error {
	err := kafka.Error(code)
	switch {
	case err.Title() == "":
		return &laterError{err}
	case message == "":
		return err
	}
	return fmt.Errorf("%w: %s", err, message)
}

// laterError is a code that kafka-go does not know.
type laterError struct{ code kafka.Error }

func (e *laterError) Error() string { return fmt.Sprintf("Kafka's error %d", int(e.code)) }
func (e *laterError) Unwrap() error { return e.code }

// answerError returns what is wrong with a broker's answer to a produce request,
// nil where the events are acknowledged. An answer that is not about the one
// partition that was sent is no acknowledgement.
func answerError(response *produce.Response) error {
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return errors.New("the broker's answer is not about the partition that was sent")
	}
	p := &response.Topics[0].Partitions[0]
	if p.ErrorCode == 0 {
		return nil
	}
	var words []string
	if p.ErrorMessage != "" {
		words = append(words, p.ErrorMessage)
	}
	if len(p.RecordErrors) > 0 {
		r := p.RecordErrors[0]
		words = append(words, fmt.Sprintf("record %d of the batch, counted from 0: %s", r.BatchIndex, r.BatchIndexErrorMessage))
	}
	return brokerError(p.ErrorCode, strings.Join(words, "; "))
}

// judge returns err as what the relay has to know about it. Only an answer of a
// broker can be more than a plain error, which is retried.
func (p *Publisher) judge(err error, topic string) error {
	var (
		judged *relay.PublishError
		code   kafka.Error
	)
	if errors.As(err, &judged) || !errors.As(err, &code) {
		return err
	}
	r, ok := rulings[code]
	if !ok {
		return err
	}
	hint := strings.NewReplacer("<brokers>", strings.Join(p.config.Brokers, ","), "<topic>", topic).Replace(r.hint)
	return &relay.PublishError{Verdict: r.verdict, Hint: hint, Err: err}
}

// nameSize puts into the hint about a record that is too large a limit that would
// do: its size is about bytes, rarely more.
func nameSize(err error, bytes int) {
	var refusal *relay.PublishError
	if errors.As(err, &refusal) {
		const kilobyte = 1024
		limit := (bytes/kilobyte + 2) * kilobyte
		refusal.Hint = strings.Replace(refusal.Hint, "<bytes>", strconv.Itoa(limit), 1)
	}
}

// judgePartition rules on a partition that does not exist. Events that chose it
// themselves are at fault; else the topic has shrunk since the relay asked, and
// waits until it asks again.
func judgePartition(err *noPartitionError, events []*relay.Event) error {
	for _, e := range events {
		if int(e.Partition) != err.partition {
			return &relay.PublishError{Verdict: relay.RefusedTopic, Hint: "the topic was made anew with fewer partitions", Err: err}
		}
	}
	return &relay.PublishError{Verdict: relay.RefusedRecords, Hint: "the event itself asks for this partition: add partitions to the topic, or leave the choice to the key", Err: err}
}

// has reports whether err is a refusal with this verdict.
func has(verdict relay.Verdict, err error) bool {
	var refusal *relay.PublishError
	return errors.As(err, &refusal) && refusal.Verdict == verdict
}
