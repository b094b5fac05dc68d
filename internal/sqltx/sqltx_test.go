package sqltx_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/sqltx"
)

// byValue is made like bun.Tx, byPointer like sqlx.Tx, prepared like GORM's.
type (
	byValue   struct{ *sql.Tx }
	byPointer struct {
		*sql.Tx
		name string
	}
	prepared struct {
		sqltx.Tx
		name string
	}
	// traced is none of them: its field has the name and is not embedded.
	traced struct {
		own
		Tx string
	}
	own struct{ sqltx.Tx }
	// wrapped embeds one that embeds one.
	wrapped struct{ own }
)

func TestBeneath(t *testing.T) {
	tx := &sql.Tx{}
	for name, c := range map[string]struct{ given, want sqltx.Tx }{
		"itself":                {tx, tx},
		"a value around it":     {byValue{tx}, tx},
		"a pointer around it":   {&byPointer{tx, "x"}, tx},
		"an interface with it":  {&prepared{tx, "x"}, tx},
		"two layers":            {&wrapped{own{tx}}, &wrapped{own{tx}}},
		"a field of that name":  {&traced{own{tx}, "x"}, &traced{own{tx}, "x"}},
		"nil":                   {nil, nil},
		"a nil pointer":         {(*sql.Tx)(nil), nil},
		"a nil pointer in it":   {byValue{}, nil},
		"a nil pointer to such": {(*byPointer)(nil), nil},
	} {
		require.Equal(t, c.want, sqltx.Beneath(c.given), name)
	}
}
