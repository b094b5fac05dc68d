package report

import (
	"fmt"
	"io"

	svg "github.com/ajstarks/svgo"
)

// Measures of a plot, in pixels.
const (
	plotWidth  = 860
	marginLeft = 170
	barArea    = 560 // how long the longest bar is
	barHeight  = 22
	barStep    = 34
	plotTop    = 64
)

// style is for light and dark: nothing is drawn behind, and what is drawn is seen
// on both. The grey is for viewers that do not tell which of the two they are.
const style = `
text { font: 13px system-ui, sans-serif; fill: #768390; }
.title { font-size: 16px; font-weight: 600; }
.small { font-size: 11px; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.line { stroke: #768390; stroke-width: 1; fill: none; }
.grid { stroke: #8c959f; stroke-width: 1; stroke-opacity: .35; fill: none; }
.curve { stroke-width: 2.5; fill: none; }
.c0 { fill: #2f81f7; stroke: #2f81f7; } .c1 { fill: #e08a00; stroke: #e08a00; } .c2 { fill: #1a9e6b; stroke: #1a9e6b; }
.c3 { fill: #d6455d; stroke: #d6455d; } .c4 { fill: #8957e5; stroke: #8957e5; } .c5 { fill: #8c959f; stroke: #8c959f; }
.curve.c0, .curve.c1, .curve.c2, .curve.c3, .curve.c4, .curve.c5 { fill: none; }
@media (prefers-color-scheme: light) {
 text { fill: #24292f; } .line { stroke: #57606a; }
}
@media (prefers-color-scheme: dark) {
 text { fill: #e6edf3; } .line { stroke: #9198a1; }
}
`

// canvas begins a plot.
func canvas(w io.Writer, height int, title, subtitle string) *svg.SVG {
	c := svg.New(w)
	c.Startview(plotWidth, height, 0, 0, plotWidth, height)
	c.Title(title)
	c.Style("text/css", style)
	c.Text(12, 26, title, class("title"))
	c.Text(12, 46, subtitle, class("small"))
	return c
}

func class(name string) string { return fmt.Sprintf(`class="%s"`, name) }

// colour is that of the nth of several.
func colour(n int) string { return fmt.Sprintf("c%d", n%6) }
