package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"
)

// benchProgress shows how far a measurement is: a bar on a terminal, else a line
// now and then. What is written to it appears above the bars.
type benchProgress struct {
	mu     sync.Mutex
	out    io.Writer
	screen *mpb.Progress // nil where there is no terminal
	bar    *mpb.Bar
	what   string
	told   time.Time
}

// benchLineEvery is how often a line says how far it is.
const benchLineEvery = 10 * time.Second

func newBenchProgress(out io.Writer) *benchProgress {
	p := &benchProgress{out: out}
	if file, ok := out.(*os.File); ok && cwriter.IsTerminal(int(file.Fd())) {
		p.screen = mpb.New(mpb.WithOutput(out), mpb.WithWidth(48), mpb.WithAutoRefresh())
	}
	return p
}

// show is a bench.Progress.
func (p *benchProgress) show(what string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := what != p.what
	p.what = what
	if p.screen != nil {
		if fresh {
			p.finish()
		}
		if total == 0 { // nothing that moves
			fmt.Fprintln(p.screen, what)
			return
		}
		if p.bar == nil {
			p.bar = p.screen.New(total, mpb.BarStyle(), mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(decor.Name(what, decor.WCSyncSpaceR), decor.CurrentNoUnit("%d", decor.WCSyncSpace)),
				mpb.AppendDecorators(decor.Percentage()))
		}
		p.bar.SetTotal(max(done, total)+1, false) // it is finished when there is another
		p.bar.SetCurrent(done)
		return
	}
	if !fresh && time.Since(p.told) < benchLineEvery {
		return
	}
	p.told = time.Now()
	if fresh {
		fmt.Fprintln(p.out, what)
	} else {
		fmt.Fprintf(p.out, "%s: %d of %d\n", what, done, total)
	}
}

// Write shows lines above the bars.
func (p *benchProgress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.screen != nil {
		return p.screen.Write(text)
	}
	return p.out.Write(text)
}

// finish takes the bar away.
func (p *benchProgress) finish() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bar = nil
	}
}

// end gives the terminal back. It may be called again.
func (p *benchProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
	if p.screen != nil {
		p.screen.Wait()
		p.screen = nil
	}
}
