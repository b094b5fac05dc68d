// Package migrations brings Tandem's schema into a database and out of it.
//
// The files under sql are plain SQL for the default schema "tandem"; any tool
// can run what [SQL] returns. [Migrator] runs them through goose, whose version
// table lives in Tandem's schema too, so that it meets no other goose. Runs at
// the same time are safe: one waits for the other on an advisory lock.
//
//	m, err := migrations.Open(config, "") // a *pgx.ConnConfig and the default schema
//	defer m.Close()
//	applied, err := m.Up(ctx)
//
// Three roles without login (tandem_writer, tandem_relay, tandem_consumer) carry
// the least grants that work; make your service's login a member of one. Where
// the migrating login may not create roles, the statements to run are given
// through config.OnNotice.
//
// What is at work may go on: a migration that needs a locked table waits for it
// without holding up writers, and a schema that is newer than a program says whether
// the program works with it (tandem.settings.works_with).
package migrations
