package bench

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-outbox/tandem/relay"
)

// WriteOptions say how Write measures.
type WriteOptions struct {
	Payload int   // of an event, in bytes; 200 unless set
	Clients []int // how many write at a time, in turn; 1, 4 and 16 unless set
	// Every case has a Slice in each of Rounds; 400 ms and 20 unless set.
	Slice  time.Duration
	Rounds int
}

func (o WriteOptions) withDefaults() WriteOptions {
	o.Payload = cmp.Or(o.Payload, 200)
	if len(o.Clients) == 0 {
		o.Clients = []int{1, 4, 16}
	}
	o.Slice, o.Rounds = cmp.Or(o.Slice, 400*time.Millisecond), cmp.Or(o.Rounds, 20)
	return o
}

// MaxClients is the greatest of WriteOptions.Clients.
const MaxClients = 1000

// Write measures what an event costs a transaction that writes one row. The cases
// take turns in short slices, in another order each round, so that whatever else
// the machine does hits all of them. Afterwards the events are relayed and read
// back, or where there is no Kafka read in the log.
func Write(ctx context.Context, s *Site, o WriteOptions) ([]Result, error) {
	o = o.withDefaults()
	most := slices.Max(o.Clients)
	w := &writing{Site: s, WriteOptions: o, numbers: newNumbers(most), topic: "bench"}
	var err error
	if s.hasKafka() {
		if w.topic, err = s.topic(ctx, "write", auditPartitions); err != nil {
			return nil, err
		}
	}
	if w.pool, err = s.pool(ctx, most); err != nil {
		return nil, err
	}
	defer w.pool.Close()
	if err := execute(ctx, w.pool, ordersTable); err != nil {
		return nil, err
	}
	var results []Result
	for _, clients := range o.Clients {
		raced, err := w.race(ctx, clients)
		if err != nil {
			return nil, err
		}
		results = append(results, raced...)
	}
	audit, err := w.audit(ctx)
	for i := range results {
		results[i].Audit = &audit
	}
	return results, err
}

// auditPartitions is how many the topic has that is only read back.
const auditPartitions = 6

type writing struct {
	*Site
	WriteOptions
	pool    *pgxpool.Pool
	topic   string
	numbers *numbers
}

// race lets all cases take turns.
func (w *writing) race(ctx context.Context, clients int) ([]Result, error) {
	rates := make([][]float64, len(writeCases))
	times := make([]*hdrhistogram.Histogram, len(writeCases))
	for i := range times {
		times[i] = NewHistogram()
	}
	var done atomic.Int64
	stop := w.progress.follow(fmt.Sprintf("write: slices with clients: %d", clients), int64(w.Rounds*len(writeCases)), done.Load)
	defer stop()
	dice := rand.New(rand.NewPCG(1, uint64(clients)))
	for round := range w.Rounds + 1 {
		for _, i := range dice.Perm(len(writeCases)) {
			h := NewHistogram()
			rate, err := w.slice(ctx, writeCases[i], clients, h)
			if err != nil {
				return nil, fmt.Errorf("write, %s: %w", writeCases[i].name, err)
			}
			if round == 0 { // plans and caches are made
				continue
			}
			rates[i] = append(rates[i], rate)
			times[i].Merge(h)
			done.Add(1)
		}
	}
	return w.results(clients, rates, times), nil
}

func (w *writing) results(clients int, rates [][]float64, times []*hdrhistogram.Histogram) []Result {
	var results []Result
	for i, c := range writeCases {
		r := Result{
			Measure: "write", System: "tandem", Case: c.name, Clients: clients, Round: 1, Payload: w.Payload,
			Seconds: (w.Slice * time.Duration(w.Rounds)).Seconds(), Rate: Median(rates[i]), Rates: rates[i],
			Latency: map[string]Latency{"committed": LatencyOf(times[i])}, Events: int(times[i].TotalCount()),
		}
		if against := slices.IndexFunc(writeCases, func(other writeCase) bool { return other.name == c.against }); against >= 0 {
			r.Against, r.Ratio = c.against, medianRatio(rates[i], rates[against])
		}
		results = append(results, r)
	}
	return results
}

// slice lets clients do transactions of one case for a while, and returns how
// many they did in a second.
func (w *writing) slice(ctx context.Context, c writeCase, clients int, h *hdrhistogram.Histogram) (float64, error) {
	histograms := make([]*hdrhistogram.Histogram, clients)
	began := time.Now()
	all, ctx := errgroup.WithContext(ctx)
	for client := range clients {
		mine := NewHistogram()
		histograms[client] = mine
		all.Go(func() error {
			for last := began; time.Since(began) < w.Slice; {
				n := w.numbers.peek(client)
				if err := c.work(ctx, w, n); err != nil {
					return err
				}
				if c.writes {
					w.numbers.take(client)
				}
				now := time.Now()
				_ = mine.RecordValue(now.Sub(last).Microseconds()) // ten minutes are the most
				last = now
			}
			return nil
		})
	}
	err := all.Wait()
	took := time.Since(began)
	var count int64
	for _, mine := range histograms {
		count += mine.TotalCount()
		h.Merge(mine)
	}
	return float64(count) / took.Seconds(), err
}

// audit relays what was written and reads it back; without Kafka it reads the log.
func (w *writing) audit(ctx context.Context) (Audit, error) {
	auditor := w.numbers.auditor()
	if !w.hasKafka() {
		return w.auditLog(ctx, auditor)
	}
	var sent atomic.Int64
	stop := w.progress.follow("audit: events relayed", int64(auditor.audit.Expected), sent.Load)
	r, err := w.startRelay(ctx, relay.Hooks{Acknowledged: func(_ string, _ int, events []*relay.Event, _ time.Duration) {
		sent.Add(int64(len(events)))
	}}, true)
	if err == nil {
		err = r.empty()
	}
	stop()
	if err != nil {
		return Audit{}, fmt.Errorf("relay what was written: %w", err)
	}
	err = w.auditTopic(ctx, w.topic, auditPartitions, auditor)
	return auditor.Result(), err
}

func (w *writing) auditLog(ctx context.Context, auditor *Auditor) (Audit, error) {
	rows, err := w.pool.Query(ctx, `SELECT convert_to(key, 'UTF8'), payload FROM tandem.log ORDER BY position`)
	if err != nil {
		return Audit{}, err
	}
	defer rows.Close()
	for rows.Next() {
		values := rows.RawValues()
		auditor.Record(values[0], values[1])
	}
	return auditor.Result(), rows.Err()
}
