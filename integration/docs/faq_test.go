package docs_test

import "github.com/stretchr/testify/require"

// What was published is deleted, which nobody notices; and Tandem goes.
var _ = tell("docs/faq.md", func(p *page) {
	p.run("tandem migrate up --database-url " + p.url("owner"))
	p.exec("owner", `GRANT tandem_writer TO shop; GRANT tandem_relay TO relay; GRANT tandem_consumer TO billing`)
	p.topics("orders")
	relay := "tandem relay --until-empty --database-url " + p.url("relay") + " --kafka-brokers " + p.brokers[0]
	p.exec("shop", `SELECT tandem.add('orders', 'their name', 'customer-7')`)
	p.exec("shop", `SELECT tandem.add('orders', 'another name', 'customer-8')`)
	p.run(relay)
	p.exec("shop", `SELECT tandem.add('orders', 'not published yet', 'customer-7')`)
	p.sql() // the deletion
	require.Equal(p, 2, p.count(`SELECT count(*) FROM tandem.log`))
	require.Equal(p, 1, p.count(`SELECT count(*) FROM tandem.log WHERE key = 'customer-7'`))

	p.exec("shop", `SELECT tandem.add('orders', 'the last', 'customer-7')`)
	require.Contains(p, p.sh(), "published 2 events")
	records := p.read("orders", 4)
	require.Len(p, records["customer-7"], 3)
	require.Equal(p, "the last", string(records["customer-7"][2].Value))
	p.sql() // what remains
	require.Zero(p, p.count(`SELECT count(*) FROM pg_roles WHERE rolname LIKE 'tandem%'`))
})
