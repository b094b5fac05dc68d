package outboxsql

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-outbox/tandem/outbox/internal/insert"
)

// arguments are the columns as Postgres array literals: database/sql has no
// arrays, but every driver sends a string as it is, and the statement casts it.
func arguments(c *insert.Columns) []any {
	return []any{
		literal(c.IDs, func(b *strings.Builder, i int) { b.WriteString(c.IDs[i].String()) }),
		textArray(c.Topics),
		sparse(c.Partitions, func(p int32) string { return strconv.Itoa(int(p)) }),
		nullableTextArray(c.Keys),
		nullableTextArray(c.Types),
		nullableTextArray(c.Headers),
		byteaArray(c.Payloads),
		literal(c.Sizes, func(b *strings.Builder, i int) { b.WriteString(strconv.FormatInt(c.Sizes[i], 10)) }),
		sparse(c.AtMostOnce, strconv.FormatBool),
		sparse(c.NotBefore, inISO),
		sparse(c.Expires, inISO),
	}
}

// sparse is nil, which is NULL, for a column that no event has. The text of an
// element needs no quotes.
func sparse[T any](column []*T, text func(T) string) any {
	if column == nil {
		return nil
	}
	return literal(column, func(b *strings.Builder, i int) {
		if column[i] == nil {
			b.WriteString("NULL")
		} else {
			b.WriteString(text(*column[i]))
		}
	})
}

func inISO(t time.Time) string { return t.Format(time.RFC3339Nano) }

func textArray(texts []string) string {
	return literal(texts, func(b *strings.Builder, i int) { quote(b, texts[i]) })
}

func nullableTextArray(texts []*string) string {
	return literal(texts, func(b *strings.Builder, i int) {
		if texts[i] == nil {
			b.WriteString("NULL") // without quotes; with them it is the word
		} else {
			quote(b, *texts[i])
		}
	})
}

// byteaArray writes bytes in Postgres's hex form, its backslash escaped.
func byteaArray(values [][]byte) string {
	return literal(values, func(b *strings.Builder, i int) {
		if values[i] == nil {
			b.WriteString("NULL")
			return
		}
		b.Grow(2*len(values[i]) + 8)
		b.WriteString(`"\\x`)
		_, _ = hex.NewEncoder(b).Write(values[i]) // a Builder does not fail
		b.WriteByte('"')
	})
}

func literal[T any](elements []T, write func(b *strings.Builder, i int)) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range elements {
		if i > 0 {
			b.WriteByte(',')
		}
		write(&b, i)
	}
	b.WriteByte('}')
	return b.String()
}

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	_, _ = escaper.WriteString(b, s)
	b.WriteByte('"')
}
