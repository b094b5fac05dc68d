package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	svg "github.com/ajstarks/svgo"
)

// plotDrain has a bar for each system's rate, its spread as a line across its end.
func plotDrain(w io.Writer, r Report) {
	type bar struct {
		name string
		spread
		colour int
	}
	var bars []bar
	for _, s := range r.fastest(CaseBacklog) {
		of := 1
		switch {
		case s.system == Tandem:
			of = 0
		case fromMemory[s.system]:
			of = 5
		}
		bars = append(bars, bar{s.system, s.spread(rate), of})
		if s.system == Debezium {
			bars = append(bars, bar{"Debezium, warm", s.spread(warm), of})
		}
	}
	slices.SortStableFunc(bars, func(a, b bar) int { return cmp.Compare(b.median, a.median) })
	longest := 0.0
	for _, b := range bars {
		longest = max(longest, b.most)
	}
	c := canvas(w, plotTop+len(bars)*barStep+12, "Draining a backlog", "events of 200 bytes a second; medians, and the least and the greatest of the rounds; grey: from memory, the limit")
	for i, b := range bars {
		y := plotTop + i*barStep
		c.Text(marginLeft-10, y+16, b.name, class("end"))
		c.Rect(marginLeft, y, max(1, scaled(b.median, longest)), barHeight, class(colour(b.colour)))
		least, most := marginLeft+scaled(b.least, longest), marginLeft+scaled(b.most, longest)
		c.Line(least, y+barHeight/2, most, y+barHeight/2, class("line"))
		c.Text(most+8, y+16, rounded(b.median))
	}
	c.End()
}

// plotCPU stacks what a million events cost each process.
func plotCPU(w io.Writer, r Report) {
	all := r.of("drain", CaseBacklog)
	slices.SortStableFunc(all, func(a, b series) int { return cmp.Compare(a.median(whole), b.median(whole)) })
	longest := 0.0
	for _, s := range all {
		longest = max(longest, s.median(whole))
	}
	parts := []struct{ process, name string }{{"relay", "its own process"}, {"postgres", "Postgres"}, {"kafka", "Kafka"}}
	c := canvas(w, plotTop+24+len(all)*barStep+12, "What a million events cost", "CPU seconds in a drain, medians")
	for n, part := range parts {
		legend(c, marginLeft+n*160, plotTop, n, part.name)
	}
	for i, s := range all {
		y := plotTop + 24 + i*barStep
		c.Text(marginLeft-10, y+16, s.system, class("end"))
		at, sum := marginLeft, 0.0
		for n, part := range parts {
			sum += s.median(cpu(part.process))
			end := marginLeft + scaled(sum, longest)
			c.Rect(at, y, end-at, barHeight, class(colour(n)))
			at = end
		}
		c.Text(at+8, y+16, fmt.Sprintf("%.1f s", sum))
	}
	c.End()
}

func legend(c *svg.SVG, x, y, n int, name string) {
	c.Rect(x, y-2, 12, 12, class(colour(n)))
	c.Text(x+18, y+9, name)
}

// scaled is how long a bar is.
func scaled(value, longest float64) int {
	return int(ratio(value, longest)*barArea + 0.5)
}
