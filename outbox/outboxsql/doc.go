// Package outboxsql is package outbox for services on database/sql, with any
// Postgres driver and whatever stands on one (GORM, bun, sqlx): the same events,
// checks, errors and promise, on a *sql.Tx or what stands around one ([Tx]).
//
//	tx, err := db.BeginTx(ctx, nil)
//	// business rows …
//	err = outboxsql.Add(ctx, tx, outbox.Event{Topic: "orders", Key: order.ID, Payload: body})
//	// roll back on an error, else commit
//
// With GORM the transaction is tx.Statement.ConnPool.([Tx]), inside of
// db.Transaction; with bun it is the bun.Tx itself.
//
// What the caller still does stands in package outbox: return errors, serialise
// the writers of a key, grant tandem_writer to the login.
//
// Payloads travel as text here, twice their size; a service that already is on
// pgx is better served by package outbox.
package outboxsql
