package relay

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// postgres is a database with Tandem's schema for all inputs of a fuzz target.
func postgres(f *testing.F) *pgx.Conn {
	f.Helper()
	conn, err := pgx.Connect(f.Context(), testservers.Migrated(f))
	require.NoError(f, err)
	f.Cleanup(func() { closeConn(conn) })
	return conn
}

// FuzzSnapshotAgreesWithPostgres: whatever Postgres writes as a snapshot Go reads,
// and sees the same end of it.
func FuzzSnapshotAgreesWithPostgres(f *testing.F) {
	for _, text := range []string{"3:3:", "10:20:10,15", "1:18446744073709551615:", " 3:4:3", "10:20:15,15", "20:10:", "::", "9223372036854775808:9223372036854775809:"} {
		f.Add(text)
	}
	conn := postgres(f)
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			return
		}
		var written, want string
		if conn.QueryRow(t.Context(), `SELECT s::text, pg_snapshot_xmax(s)::text FROM (SELECT $1::text::pg_snapshot AS s) AS x`, text).Scan(&written, &want) != nil {
			require.False(t, conn.IsClosed())
			return
		}
		xmax, err := snapshotXmax(written)
		require.NoError(t, err)
		require.Equal(t, want, fmt.Sprint(xmax))
	})
}

// snapshot is a pg_snapshot as its own bytes say: a xmin, and for each
// transaction from there on whether it is in progress.
type snapshot struct {
	xmin    uint64
	running []byte // not 0 is in progress
}

func (s snapshot) String() string {
	var xip []string
	for i, is := range s.running {
		if is != 0 {
			xip = append(xip, fmt.Sprint(s.xmin+uint64(i)))
		}
	}
	return fmt.Sprintf("%d:%d:%s", s.xmin, s.xmin+uint64(len(s.running)), strings.Join(xip, ","))
}

func (s snapshot) sees(tx uint64) bool {
	return tx < s.xmin || tx < s.xmin+uint64(len(s.running)) && s.running[tx-s.xmin] == 0
}

// FuzzClaims: what a claim says in Go is what tandem.claimed makes of its text, of
// one claim and of several.
func FuzzClaims(f *testing.F) {
	f.Add(uint32(0), []byte{}, uint32(0), []byte{}, false, int64(0), uint32(0), int64(1))
	f.Add(uint32(7), []byte{1, 0, 1}, uint32(9), []byte{0, 0, 1, 1}, true, int64(500), uint32(8), int64(500))
	f.Add(uint32(7), []byte{1, 0, 1}, uint32(9), []byte{0, 0, 1, 1}, true, int64(500), uint32(9), int64(501))
	f.Add(uint32(7), []byte{1}, uint32(9), []byte{1}, true, int64(-1), uint32(7), int64(-9223372036854775808))
	conn := postgres(f)
	f.Fuzz(func(t *testing.T, xmin uint32, running []byte, xmin2 uint32, running2 []byte, window bool, done int64, tx uint32, position int64) {
		if len(running)+len(running2) > 1000 {
			return
		}
		// Transaction ids begin with 3.
		prev, cur := snapshot{uint64(xmin) + 3, running}, snapshot{uint64(xmin2) + 3, running2}
		at, id := checkpoint{prev: prev.String(), done: done}, uint64(tx)+3
		want := prev.sees(id)
		if window {
			at.cur = cur.String()
			want = want || position <= done && cur.sees(id)
		}
		nothing := claimText(checkpoint{prev: "3:3:"})
		for _, claims := range [][]string{{claimText(at)}, {nothing, claimText(at)}, {claimText(at), nothing}} {
			var got bool
			require.NoError(t, conn.QueryRow(t.Context(), `SELECT tandem.claimed($1::text::xid8, $2, $3)`, fmt.Sprint(id), position, claims).Scan(&got))
			require.Equal(t, want, got, "%v of %d at %d", claims, id, position)
		}
	})
}

// FuzzDecodeEvent: a row that is none is refused, and one that is comes out as it
// went in, from an arena of any size.
func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte("12345678"), []byte("123456789012345x"), []byte("12345678"), []byte("1234"), "orders", []byte("key"), "type", []byte(`{}`), []byte("payload"), uint8(0), uint16(10))
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, "", []byte{}, "", []byte{}, []byte{}, uint8(255), uint16(0))
	f.Fuzz(func(t *testing.T, position, id, created, partition []byte, topic string, key []byte, eventType string, headers, payload []byte, nulls uint8, arena uint16) {
		values := [][]byte{position, id, created, partition, []byte(topic), key, []byte(eventType), headers, payload, nil, created, partition}
		for i, column := range []int{3, 5, 7, 8, 10, 11} {
			if nulls>>i&1 == 1 {
				values[column] = nil
			}
		}
		p := &page{arena: make([]byte, 0, arena)}
		err := p.decode(values, &interned{})
		if len(position) != 8 || len(id) != 16 || len(created) != 8 {
			require.Error(t, err)
			require.Empty(t, p.items)
			return
		}
		require.NoError(t, err)
		p.keep([]byte("what comes next overwrites nothing"))
		p.finish()
		it := p.fit().items[0]
		require.Equal(t, int64(binary.BigEndian.Uint64(position)), it.Position)
		require.Equal(t, id, it.ID[:])
		require.Equal(t, topic+"/"+eventType, it.Topic+"/"+it.Type)
		require.True(t, same(values[5], it.Key) && same(values[7], it.Headers) && same(values[8], it.Payload))
	})
}

// same also tells nil from empty, which is a tombstone from none.
func same(a, b []byte) bool { return slices.Equal(a, b) && (a == nil) == (b == nil) }
