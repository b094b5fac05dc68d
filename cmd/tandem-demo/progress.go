package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows what happens: bars on a terminal, else a line now and then.
type progress struct {
	stdout   io.Writer
	shop     *shop
	actors   []*actor
	duration time.Duration
	began    time.Time
}

func newProgress(stdout io.Writer, s *shop, actors []*actor, d time.Duration) *progress {
	return &progress{stdout: stdout, shop: s, actors: actors, duration: d, began: time.Now()}
}

// sample is how far everything is.
type sample struct{ orders, records, with, without int64 }

// run shows samples until ctx ends. A sample that fails is left out: whoever
// does the work says what is wrong.
func (p *progress) run(ctx context.Context) error {
	client, closeClient := newClient(p.shop.world)
	defer closeClient()
	show, every, end := p.lines()
	if file, ok := p.stdout.(*os.File); ok && cwriter.IsTerminal(int(file.Fd())) {
		show, every, end = p.bars()
	}
	defer end()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done(): // once more, for the last state
		case <-tick.C:
		}
		look, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		if at, err := p.look(look, client); err == nil {
			show(at)
		}
		cancel()
	}
	return nil
}

func (p *progress) look(ctx context.Context, client *kafka.Client) (at sample, err error) {
	at.orders = p.shop.committed.Load()
	if at.records, err = published(ctx, client, p.shop.world); err != nil {
		return at, err
	}
	at.with, at.without, err = charged(ctx, p.shop.world, p.shop.pool, "count(*)")
	return at, err
}

func (p *progress) lines() (show func(sample), every time.Duration, end func()) {
	return func(at sample) {
		fmt.Fprintf(p.stdout, "%4.0fs  orders %d  rolled back %d  records %d  charges with inbox %d, without %d  kills: relay %d, consumers %d and %d\n",
			time.Since(p.began).Seconds(), at.orders, p.shop.rolledBack(), at.records, at.with, at.without,
			p.actors[0].kills.Load(), p.actors[1].kills.Load(), p.actors[2].kills.Load())
	}, 2 * time.Second, func() {}
}

func (p *progress) bars() (show func(sample), every time.Duration, end func()) {
	screen := mpb.New(mpb.WithOutput(p.stdout), mpb.WithWidth(48), mpb.WithAutoRefresh())
	bar := func(name string, note func(decor.Statistics) string) *mpb.Bar {
		return screen.New(0, mpb.BarStyle(),
			mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR), decor.CurrentNoUnit("%d", decor.WCSyncSpace)),
			mpb.AppendDecorators(decor.Any(note)))
	}
	killed := func(i int) func(decor.Statistics) string {
		return func(decor.Statistics) string {
			return fmt.Sprintf("kills of the %s: %d", p.actors[i].name, p.actors[i].kills.Load())
		}
	}
	clock := bar("seconds", func(decor.Statistics) string {
		return either(time.Since(p.began) < p.duration, "open, and everything is killed", "closed; the rest arrives")
	})
	orders := bar("orders committed", func(decor.Statistics) string { return fmt.Sprintf("%d rolled back", p.shop.rolledBack()) })
	records := bar("records in the topic", killed(0))
	with := bar("charges with inbox", killed(1))
	without := bar("charges without inbox", killed(2))
	all := []*mpb.Bar{clock, orders, records, with, without}
	show = func(at sample) {
		elapsed := time.Since(p.began)
		set(clock, min(int64(elapsed.Seconds()), int64(p.duration.Seconds())), int64(p.duration.Seconds()))
		set(orders, at.orders, max(at.orders, int64(float64(at.orders)*p.duration.Seconds()/max(1, elapsed.Seconds()))))
		total := max(at.orders, 1)
		set(records, at.records, total)
		set(with, at.with, total)
		set(without, at.without, total)
	}
	return show, 200 * time.Millisecond, func() {
		for _, b := range all {
			b.Abort(false)
		}
		screen.Wait()
	}
}

// set moves a bar without ever completing it: its end moves too.
func set(b *mpb.Bar, current, total int64) {
	b.SetTotal(max(current, total), false)
	b.SetCurrent(current)
}
