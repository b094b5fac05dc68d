package relaykafka

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// The requests here are carried by kafka-go's Transport, which finds the broker,
// keeps the connections and authenticates them, but they use its RawExchanger to
// write and read for themselves: a produce request goes from the encoder's
// buffer to the socket in one piece, where Client.RawProduce copies it into
// pages and writes those one by one, and a metadata request gets a fresh answer,
// where the Transport answers from a cache of its own that is some seconds old.

// A request has a connection of its own until it is answered, so that one
// number will do to tell that an answer is for it.
const correlationID = 1

// produceRequest is one partition's batch on its way to the partition's leader.
type produceRequest struct {
	leader  int32
	bytes   []byte // the whole request; the version is set when it is known
	version int16
	state   atomic.Int32
}

// The states of a produceRequest. The connection's goroutine and the caller who
// gives up race for it; who is first decides whether anything is sent.
const (
	waiting int32 = iota
	sending
	abandoned
)

const (
	oldestProduceVersion  = 3 // the first with record batches, Kafka 0.11
	oldestMetadataVersion = 4 // the first that can ask without creating topics, Kafka 0.11
	versionAt             = 6
)

// errAbandoned ends an exchange before anything is written. It wraps the one
// error after which the Transport keeps the connection.
var errAbandoned = fmt.Errorf("the caller has given up: %w", protocol.ErrNoRecord)

// abandon reports whether the request was not and will not be sent, and its
// bytes are free.
func (r *produceRequest) abandon() bool { return r.state.CompareAndSwap(waiting, abandoned) }

// ApiKey is part of protocol.Message.
func (r *produceRequest) ApiKey() protocol.ApiKey { return protocol.Produce }

// Broker is part of protocol.BrokerMessage.
func (r *produceRequest) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: r.leader}, nil
}

// Required is part of protocol.RawExchanger.
func (r *produceRequest) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = versions[protocol.Produce]
	return true
}

// RawExchange is part of protocol.RawExchanger.
func (r *produceRequest) RawExchange(conn io.ReadWriter) (protocol.Message, error) {
	if r.version < oldestProduceVersion {
		return nil, tooOld(r.version, oldestProduceVersion, "Produce")
	}
	if !r.state.CompareAndSwap(waiting, sending) {
		return nil, errAbandoned
	}
	binary.BigEndian.PutUint16(r.bytes[versionAt:], uint16(r.version))
	if _, err := conn.Write(r.bytes); err != nil {
		return nil, err
	}
	id, response, err := protocol.ReadResponse(conn, protocol.Produce, r.version)
	if err == nil && id != correlationID {
		err = fmt.Errorf("the answer is to request %d, not %d", id, correlationID)
	}
	return response, err
}

// metadataRequest asks any broker about topics. Nothing is created by it.
type metadataRequest struct {
	topics   []string
	clientID string
	rights   bool // also what this client may do with the topics
	version  int16
}

// ApiKey is part of protocol.Message.
func (r *metadataRequest) ApiKey() protocol.ApiKey { return protocol.Metadata }

// Required is part of protocol.RawExchanger.
func (r *metadataRequest) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = versions[protocol.Metadata]
	return true
}

// RawExchange is part of protocol.RawExchanger.
func (r *metadataRequest) RawExchange(conn io.ReadWriter) (protocol.Message, error) {
	if r.version < oldestMetadataVersion {
		return nil, tooOld(r.version, oldestMetadataVersion, "Metadata")
	}
	message, err := protocol.RoundTrip(conn, r.version, correlationID, r.clientID, &metadata.Request{
		TopicNames: r.topics, IncludeTopicAuthorizedOperations: r.rights,
	})
	if err != nil {
		return nil, err
	}
	return metadataAnswer{message.(*metadata.Response)}, nil
}

// metadataAnswer hides the type of the response from the Transport, which takes
// a bare one for the answer to a request of its own.
type metadataAnswer struct{ *metadata.Response }

func tooOld(version, oldest int16, api string) error {
	return fmt.Errorf("the broker speaks version %d of %s, %d is needed (Kafka 0.11 or newer): %w", version, api, oldest, kafka.UnsupportedVersion)
}

// appendProduceHead starts a produce request with acks=all in the form of its
// versions 3 to 8, which is one and the same. finishProduce completes it when
// the batch stands behind it.
func appendProduceHead(b []byte, clientID, topic string, partition int, timeoutMillis uint32) []byte {
	b = binary.BigEndian.AppendUint32(b, 0) // size of what follows, set by finishProduce
	b = binary.BigEndian.AppendUint16(b, uint16(protocol.Produce))
	b = binary.BigEndian.AppendUint16(b, 0) // version, set when the connection is known
	b = binary.BigEndian.AppendUint32(b, correlationID)
	b = appendShortString(b, clientID)
	b = binary.BigEndian.AppendUint16(b, 1<<16-1) // transactional id: none
	b = binary.BigEndian.AppendUint16(b, 1<<16-1) // acks: all in-sync replicas
	b = binary.BigEndian.AppendUint32(b, timeoutMillis)
	b = binary.BigEndian.AppendUint32(b, 1) // topics
	b = appendShortString(b, topic)
	b = binary.BigEndian.AppendUint32(b, 1) // partitions
	b = binary.BigEndian.AppendUint32(b, uint32(partition))
	return binary.BigEndian.AppendUint32(b, 0) // size of the batch, set by finishProduce
}

// finishProduce sets the sizes in request, whose batch starts at batchAt.
func finishProduce(request []byte, batchAt int) {
	binary.BigEndian.PutUint32(request, uint32(len(request)-4))
	binary.BigEndian.PutUint32(request[batchAt-4:], uint32(len(request)-batchAt))
}

func appendShortString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}
