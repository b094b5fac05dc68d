//go:build unix

package kafkaproxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// form is what decides how a request and its answer are written.
type form struct {
	key     Key
	version int16
}

// The answers that tell brokers' addresses, and since which version they do. A
// Produce or a Fetch tells them when a partition has moved.
var tellAddresses = map[Key]int16{
	Produce:         10,
	Fetch:           16,
	metadata:        0,
	findCoordinator: 0,
	describeCluster: 0,
}

const (
	metadata        Key = 3
	findCoordinator Key = 10
	describeCluster Key = 60
)

func (f form) tellsAddresses() bool {
	since, tells := tellAddresses[f.key]
	return tells && f.version >= since
}

const (
	lengthBytes = 4
	idBytes     = 4
)

// rewrite returns a whole answer with fronts in the place of brokers.
func (f form) rewrite(message []byte, fronts map[string]string) ([]byte, error) {
	answer := kmsg.ResponseForKey(int16(f.key))
	answer.SetVersion(f.version)
	head := lengthBytes + idBytes
	if answer.IsFlexible() {
		if len(message) <= head || message[head] != 0 {
			return nil, fmt.Errorf("key %d, version %d: its header has tags, which are not known here", f.key, f.version)
		}
		head++
	}
	if err := answer.ReadFrom(message[head:]); err != nil {
		return nil, fmt.Errorf("key %d, version %d: %w", f.key, f.version, err)
	}
	changed, err := replace(answer, fronts)
	if err != nil || !changed {
		return message, err
	}
	rewritten := answer.AppendTo(append([]byte{}, message[:head]...))
	binary.BigEndian.PutUint32(rewritten, uint32(len(rewritten)-lengthBytes))
	return rewritten, nil
}

// replace puts fronts into an answer; false means that it told no address.
func replace(answer kmsg.Response, fronts map[string]string) (changed bool, err error) {
	one := func(host *string, port *int32) {
		if *host == "" {
			return // there is no such broker, the answer says
		}
		changed = true
		err = errors.Join(err, replaceOne(host, port, fronts))
	}
	switch a := answer.(type) {
	case *kmsg.MetadataResponse:
		for i := range a.Brokers {
			one(&a.Brokers[i].Host, &a.Brokers[i].Port)
		}
	case *kmsg.FindCoordinatorResponse:
		one(&a.Host, &a.Port)
		for i := range a.Coordinators {
			one(&a.Coordinators[i].Host, &a.Coordinators[i].Port)
		}
	case *kmsg.DescribeClusterResponse:
		for i := range a.Brokers {
			one(&a.Brokers[i].Host, &a.Brokers[i].Port)
		}
	case *kmsg.ProduceResponse:
		for i := range a.Brokers {
			one(&a.Brokers[i].Host, &a.Brokers[i].Port)
		}
	case *kmsg.FetchResponse:
		for i := range a.Brokers {
			one(&a.Brokers[i].Host, &a.Brokers[i].Port)
		}
	}
	return changed, err
}

func replaceOne(host *string, port *int32, fronts map[string]string) error {
	broker := net.JoinHostPort(*host, strconv.Itoa(int(*port)))
	front, known := fronts[broker]
	if !known {
		return fmt.Errorf("it tells the address %s, which is of no broker that is known here", broker)
	}
	h, p, err := net.SplitHostPort(front)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return fmt.Errorf("the front of %s: %w", broker, err)
	}
	*host, *port = h, int32(n)
	return nil
}
