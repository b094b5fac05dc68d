// Package inboxsql is inbox.Once for services on database/sql, with any Postgres
// driver and whatever stands on one (GORM, bun, sqlx): the same ids, errors and
// promise, in the same storage.
//
//	tx, err := db.BeginTx(ctx, nil)
//	// …
//	first, err := inboxsql.Once(ctx, tx, "billing", messageID)
//	// roll back on an error; where it is not first, there is nothing to do
//	// the message's effects, in tx; commit; acknowledge the message
//
// What the caller still does stands in package inbox: every effect in the
// transaction, acknowledge after the commit, and upkeep: `tandem inbox maintain` once
// a day from cron does what inbox.Maintain does.
//
// With GORM the transaction is tx.Statement.ConnPool.([Tx]), inside of
// db.Transaction; with bun it is the bun.Tx itself.
package inboxsql
