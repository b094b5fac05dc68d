package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/integration/faults"
)

// history is all that there is to judge.
type history struct {
	ops         []*op
	facts       []fact
	appearances []appearance
	effects     []effect
	parked      map[string]string // state, by id of the event
	dropped     map[string]string // kind, by id
	aside       map[string]string // state, by id of the message
	remade      time.Time         // when the topic that is deleted was last made
	clock       bool              // the brokers have told when they got each record
	counts      counts
}

// fact is an event that was committed.
type fact struct {
	ID                string
	Op                int64
	Topic, Key        string
	Seq               int64
	Kind              string
	NotBefore, Expire *time.Time
	At                time.Time
}

// ordered tells whether it takes part in its key's order.
func (f fact) ordered() bool { return draft{key: f.Key, kind: f.Kind}.ordered() }

// appearance is a record in a topic.
type appearance struct {
	id, topic, key string
	partition      int32
	offset         int64
	at             time.Time // by the broker's clock; of a fake one, when its id was first seen
	since          time.Time // no earlier than that; of a fake one, when its id was first offered; zero: not known
	payload        faults.Payload
}

// effect is what a consumer has done for a message.
type effect struct {
	Applied    int64
	ID         string
	Topic, Key string
	Seq        int64
	Part       int32
	Receipt    string
}

func (r *run) read(ctx context.Context) (*history, error) {
	h := &history{remade: r.remade, clock: r.plan.real, ops: r.journal.ops}
	var err error
	if h.facts, err = collect[fact](ctx, r, `SELECT id::text, op, topic, key, seq, kind, not_before, expires AS expire, at FROM public.facts`); err != nil {
		return nil, err
	}
	if h.effects, err = collect[effect](ctx, r, `SELECT applied, id::text, topic, key, seq, part, receipt::text FROM public.effects ORDER BY applied`); err != nil {
		return nil, err
	}
	for query, to := range map[string]*map[string]string{
		`SELECT id::text AS name, state AS what FROM tandem.parked`:        &h.parked,
		`SELECT id::text AS name, kind AS what FROM tandem.dropped`:        &h.dropped,
		`SELECT message_id AS name, state AS what FROM tandem.inbox_aside`: &h.aside,
	} {
		type pair struct{ Name, What string }
		pairs, err := collect[pair](ctx, r, query)
		if err != nil {
			return nil, err
		}
		*to = map[string]string{}
		for _, p := range pairs {
			(*to)[p.Name] = p.What
		}
	}
	for topic, name := range r.topics {
		if err := r.readTopic(ctx, topic, name, h); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func collect[T any](ctx context.Context, r *run, query string) ([]T, error) {
	rows, err := r.pool.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

// readTopic reads all of it anew, from the beginning.
func (r *run) readTopic(ctx context.Context, topic, name string, h *history) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ends, err := r.admin.ListEndOffsets(ctx, name)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return err
	}
	starts := map[int32]kgo.Offset{}
	left := map[int32]int64{} // end offsets of partitions that are not read to their ends
	for partition, end := range ends[name] {
		if end.Offset > 0 {
			starts[partition], left[partition] = kgo.NewOffset().At(0), end.Offset
		}
	}
	if len(left) == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(r.client.OptValue(kgo.SeedBrokers).([]string)...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: starts}))
	if err != nil {
		return err
	}
	defer client.Close()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("topic %s cannot be read to its end: %w", name, ctx.Err())
		}
		fetches.EachRecord(func(record *kgo.Record) {
			a := appearance{id: header(record, "ce_id"), topic: topic, key: string(record.Key), partition: record.Partition, offset: record.Offset, at: record.Timestamp, since: record.Timestamp}
			if err := json.Unmarshal(record.Value, &a.payload); err != nil {
				r.fail("record %s/%d/%d: %v", topic, record.Partition, record.Offset, err)
			}
			a.payload.Pad = ""
			if !h.clock { // kfake does not stamp them
				a.at, a.since = r.tail.at(a.id), r.offered.at(a.id)
			}
			h.appearances = append(h.appearances, a)
			if record.Offset+1 >= left[record.Partition] {
				delete(left, record.Partition)
			}
		})
	}
	return nil
}
