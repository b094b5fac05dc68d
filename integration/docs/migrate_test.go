package docs_test

import (
	"github.com/stretchr/testify/require"
)

// The writers have the right to insert into the old outbox, and none of Tandem's.
var _ = tell("examples/migrate-from-polling/README.md", func(p *page) {
	p.run("tandem migrate up --database-url " + p.url("owner"))
	p.sql() // the old outbox
	p.exec("owner", `GRANT INSERT ON outbox TO shop`)
	write := func(n string) {
		p.exec("shop", `INSERT INTO outbox (id, topic, key, type, payload) VALUES ('00000000-0000-4000-8000-00000000000`+n+`', 'orders', 'k', 'order.placed', '{}')`)
	}
	has := func(table string, want ...string) {
		rows, err := p.pool("owner").Query(p.Context(), `SELECT right(id::text, 1) FROM `+table)
		require.NoError(p, err)
		defer rows.Close()
		var got []string
		for rows.Next() {
			var n string
			require.NoError(p, rows.Scan(&n))
			got = append(got, n)
		}
		require.NoError(p, rows.Err())
		require.Equal(p, want, got)
	}
	write("1")
	write("2")
	for _, id := range p.sql() {
		require.Regexp(p, `^.{14}8.{4}8`, id, "of version 8, by RFC 9562")
	}
	p.sql() // the switch
	write("3")
	has("tandem.log ORDER BY position", "1", "2", "3")
	has("outbox")
	p.sql() // the way back
	write("4")
	has("tandem.log ORDER BY position", "1", "2", "3")
	has("outbox", "4")
	p.sql() // the end
})
