package faults_test

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tandem-outbox/tandem/internal/kafkaproxy"
	"github.com/tandem-outbox/tandem/internal/pgproxy"
	"github.com/tandem-outbox/tandem/internal/testlinks"
)

// kind is a kind of fault. do carries one out, all of it: when it returns, what
// was broken is whole. It tells whether the fault has happened.
type kind struct {
	name   string
	weight int
	do     func(r *run, ctx context.Context, f fault) bool
	// ends a process; slowOnKafka is rarer on a real one; fakeOnly is for kfake.
	// calm ones leave nobody in doubt.
	ends, slowOnKafka, fakeOnly, calm bool
}

const (
	freezeRelay    = "freeze a relay"
	freezeConsumer = "freeze a consumer"
)

// kinds are all there are, with their weights.
var kinds = []kind{
	{name: "kill a relay", weight: 5, ends: true, do: func(r *run, ctx context.Context, f fault) bool { return r.kill(ctx, r.relays[f.who], f) }},
	{name: "kill a consumer", weight: 5, ends: true, do: func(r *run, ctx context.Context, f fault) bool { return r.kill(ctx, r.consumers[f.who], f) }},
	{name: freezeRelay, weight: 4, do: func(r *run, ctx context.Context, f fault) bool { return r.freeze(ctx, r.relays[f.who], f) }},
	{name: freezeConsumer, weight: 4, do: func(r *run, ctx context.Context, f fault) bool { return r.freeze(ctx, r.consumers[f.who], f) }},
	{name: "hand over", weight: 2, ends: true, do: func(r *run, ctx context.Context, f fault) bool { return r.handOver(ctx, r.relays[f.who]) }},
	{name: "a consumer leaves", weight: 2, ends: true, do: func(r *run, ctx context.Context, f fault) bool { return r.handOver(ctx, r.consumers[f.who]) }},
	{name: "restart PostgreSQL", weight: 4, do: (*run).restartPostgres},
	{name: "restart Kafka", weight: 4, slowOnKafka: true, do: (*run).restartKafka},
	{name: "cut", weight: 4, do: func(r *run, _ context.Context, f fault) bool { r.link(f).Cut(); return true }},
	{name: "down", weight: 3, do: overLink(func(l link, f fault) { l.Down() })},
	{name: "delay", weight: 3, do: overLink(func(l link, f fault) { l.Delay(f.lasts/4, f.lasts/8) })},
	{name: "throttle", weight: 2, do: overLink(func(l link, f fault) { l.Throttle(5_000 + f.which) })},
	{name: "half-open", weight: 4, do: overLink(func(l link, f fault) { l.HalfOpen(f.which%3 != 0, f.which%3 != 1) })},
	{name: "a writer's COMMIT without an answer", weight: 3, do: func(r *run, ctx context.Context, f fault) bool {
		return r.loseSQL(ctx, r.writersLink, commits, f)
	}},
	{name: "a checkpoint's save without an answer", weight: 3, do: func(r *run, ctx context.Context, f fault) bool {
		return r.loseSQL(ctx, r.relays[f.who].postgres, pgproxy.Containing("save_checkpoint"), f)
	}},
	{name: "a consumer's COMMIT without an answer", weight: 3, do: func(r *run, ctx context.Context, f fault) bool {
		return r.loseSQL(ctx, r.consumers[f.who].postgres, commits, f)
	}},
	{name: "records without an answer", weight: 3, do: func(r *run, ctx context.Context, f fault) bool {
		l := r.relays[f.who].kafka
		return r.lose(ctx, l.LoseReply(produce), l.Withdraw)
	}},
	{name: "offsets without an answer", weight: 2, do: func(r *run, ctx context.Context, f fault) bool {
		l := r.consumers[f.who].kafka
		return r.lose(ctx, l.LoseReply(kafkaproxy.OffsetCommit), l.Withdraw)
	}},
	{name: "hold a snapshot", weight: 2, calm: true, do: (*run).holdSnapshot},
	{name: "leap to the end of a leaf", weight: 3, calm: true, do: (*run).leap},
	{name: "delete a topic and make it again", weight: 2, calm: true, do: (*run).remakeTopic},
	{name: "add a partition", weight: 2, calm: true, do: (*run).addPartition},
	{name: "redrive what is parked", weight: 1, calm: true, do: (*run).redrive},
	{name: "move a leader", weight: 3, calm: true, fakeOnly: true, do: (*run).moveLeader},
	{name: "answer with an error", weight: 4, fakeOnly: true, do: (*run).refuse},
}

const produce kafkaproxy.Key = 0

func commits(s pgproxy.Statement) bool { return s.SQL == "commit" || s.SQL == "COMMIT" }

// link is a way between a process and a server.
type link interface {
	Cut()
	Down()
	Delay(latency, jitter time.Duration)
	Throttle(bytesPerSecond int)
	HalfOpen(upstream, downstream bool)
	Heal()
}

// link chooses one: the writers', a relay's or a consumer's.
func (r *run) link(f fault) link {
	all := []link{
		r.writersLink, r.relays[0].postgres, r.relays[1].postgres, r.consumers[0].postgres, r.consumers[1].postgres,
		r.relays[0].kafka, r.relays[1].kafka, r.consumers[0].kafka, r.consumers[1].kafka,
	}
	return all[f.which%len(all)]
}

func overLink(do func(link, fault)) func(*run, context.Context, fault) bool {
	return func(r *run, ctx context.Context, f fault) bool {
		l := r.link(f)
		do(l, f)
		pause(ctx, f.lasts)
		l.Heal()
		return true
	}
}

// suffer carries out the plan's faults, one after another, but for those that
// come together.
func (r *run) suffer(ctx context.Context) {
	for _, f := range r.plan.faults {
		pause(ctx, f.gap)
		if ctx.Err() != nil {
			return
		}
		var both sync.WaitGroup
		for one := &f; one != nil; one = one.both {
			both.Go(func() { r.sufferOne(ctx, *one) })
		}
		both.Wait()
	}
}

func (r *run) sufferOne(ctx context.Context, f fault) {
	f.both = nil
	for _, k := range kinds {
		if k.name != f.name {
			continue
		}
		r.journal.note("nemesis", "%s", f)
		happened := k.do(r, ctx, f)
		r.journal.note("nemesis", "%s is over; it has happened: %t", f.name, happened)
		if happened {
			r.met(k.name)
		}
	}
}

func (r *run) kill(ctx context.Context, p *process, f fault) bool {
	p.busy.Lock()
	defer p.busy.Unlock()
	p.restarted = true
	p.end(syscall.SIGKILL)
	if f.which%2 == 0 {
		pause(ctx, f.lasts)
	}
	p.start()
	return true
}

func (r *run) freeze(ctx context.Context, p *process, f fault) bool {
	p.busy.Lock()
	defer p.busy.Unlock()
	p.signal(syscall.SIGSTOP)
	pause(ctx, f.lasts)
	p.signal(syscall.SIGCONT)
	return true
}

// handOver is a planned restart.
func (r *run) handOver(_ context.Context, p *process) bool {
	p.busy.Lock()
	defer p.busy.Unlock()
	p.restarted = true
	p.end(syscall.SIGTERM)
	p.start()
	return true
}

// restartPostgres also restarts it when for a moment nobody has waited for the disk:
// then it forgets what others may have seen.
func (r *run) restartPostgres(ctx context.Context, f fault) bool {
	r.postgresBusy.Lock()
	defer r.postgresBusy.Unlock()
	if f.which%2 == 0 {
		r.hasty.Store(true)
		defer r.hasty.Store(false)
		for _, p := range r.consumers { // whose commits would flush for all
			p.postgres.Down()
			defer p.postgres.Heal()
		}
		pause(ctx, f.lasts)
		r.tail.await(ctx, time.Second)
	}
	if err := r.slot.postgres.StopImmediate(); err != nil {
		r.fail("stop PostgreSQL: %v", err)
	}
	if err := r.slot.postgres.Restart(context.WithoutCancel(ctx)); err != nil {
		r.fail("start PostgreSQL again: %v", err)
	}
	return true
}

// loseSQL loses the answer to a statement, or the statement: who waits cannot tell.
func (r *run) loseSQL(ctx context.Context, l *testlinks.Postgres, match func(pgproxy.Statement) bool, f fault) bool {
	if f.which%2 == 0 {
		return r.lose(ctx, l.LoseRequest(match), l.Withdraw)
	}
	return r.lose(ctx, l.LoseReply(match), l.Withdraw)
}

// lose waits until a reply was lost. It may not come: then nothing has happened.
func (r *run) lose(ctx context.Context, met <-chan struct{}, withdraw func()) bool {
	select {
	case <-met:
		return true
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
	withdraw()
	select {
	case <-met:
		return true
	default:
		return false
	}
}

// holdSnapshot is somebody's report, or dump, that takes its time.
func (r *run) holdSnapshot(ctx context.Context, f fault) bool {
	conn, err := pgx.Connect(ctx, r.database)
	if err != nil {
		return false
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tandem.settings; SELECT pg_current_xact_id()`); err != nil {
		return false
	}
	pause(ctx, 4*f.lasts)
	return true
}

// leafBits is how many bits of a position are within a leaf.
const leafBits = 17

// leap moves the sequence to the end of the leaf that is being written or of one
// of the next, as if that many transactions had been rolled back: the next events
// fall into another leaf, and those before can be given back.
func (r *run) leap(ctx context.Context, f fault) bool {
	_, err := r.pool.Exec(ctx, `SELECT setval('tandem.log_position', (((last_value >> $1) + 1 + $2) << $1) - 3) FROM tandem.log_position`, leafBits, f.which%5)
	return err == nil
}

// remakeTopic deletes the topic that nobody consumes; what it had is gone.
func (r *run) remakeTopic(ctx context.Context, f fault) bool {
	r.topicsBusy.Lock()
	defer r.topicsBusy.Unlock()
	topic := r.topics[doomed]
	if _, err := r.admin.DeleteTopics(ctx, topic); err != nil {
		return false
	}
	r.stopDoomed()
	pause(ctx, 2*f.lasts)
	r.makeTopic(context.WithoutCancel(ctx), doomed)
	r.stopDoomed = r.tail.follow(topic)
	r.remade = time.Now()
	return true
}

// restartKafka kills the broker. Of the fake ones it takes the network away from
// everybody, so that what was under way is done or not, and nobody knows.
func (r *run) restartKafka(ctx context.Context, f fault) bool {
	r.topicsBusy.Lock()
	defer r.topicsBusy.Unlock()
	if r.plan.real {
		r.slot.kafka.Kill()
		if err := r.slot.kafka.Restart(context.WithoutCancel(ctx)); err != nil {
			r.fail("start Kafka again: %v", err)
		}
		return true
	}
	for _, p := range r.processes() {
		p.kafka.Down()
	}
	pause(ctx, f.lasts)
	for _, p := range r.processes() {
		p.kafka.Heal()
	}
	return true
}

// addPartition makes keys move. Of the fake brokers' topic the partitions that were
// there take nothing meanwhile, so that earlier events of such keys are under way.
func (r *run) addPartition(ctx context.Context, f fault) bool {
	r.topicsBusy.Lock()
	defer r.topicsBusy.Unlock()
	if r.grown {
		return false
	}
	if !r.plan.real {
		r.offered.stall(true)
		defer r.offered.stall(false)
		if !r.lose(ctx, r.offered.refused, func() {}) {
			return false
		}
		defer pause(ctx, 200*time.Millisecond+2*f.lasts)
	}
	res, err := r.admin.CreatePartitions(ctx, 1, r.topics[growing])
	r.grown = err == nil && res.Error() == nil
	return r.grown
}

// redrive is an operator's, who has not looked: nothing has become better.
func (r *run) redrive(ctx context.Context, _ fault) bool {
	if out, err := r.tandem(ctx, "parked", "redrive", "--yes"); err != nil {
		r.journal.note("operator", "redrive: %v: %s", err, out)
	}
	return true
}

func (r *run) moveLeader(_ context.Context, f fault) bool {
	topic := []string{orders, growing, narrow, metrics}[f.which%4]
	return r.fake.MoveTopicPartition(r.topics[topic], int32(f.who), int32(f.which%fakeBrokers)) == nil
}

// refuse has the broker answer a few requests with an error, some of which it has
// carried out nevertheless.
func (r *run) refuse(ctx context.Context, f fault) bool {
	refusals := []kfake.Fault{
		{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend},
		{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut},
		{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition},
		{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas},
		{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.KafkaStorageError},
		{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress},
		{Keys: []kmsg.Key{kmsg.OffsetCommit, kmsg.Heartbeat, kmsg.JoinGroup}, Err: kerr.NotCoordinator},
		{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID},
	}
	refusal := refusals[f.which%len(refusals)]
	refusal.Count = 1 + f.who*4
	h := r.fake.Fault(refusal)
	defer h.Remove()
	waiting, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = h.Wait(waiting, refusal.Count)
	return h.Hits() > 0
}
