// Package insert is the one INSERT that adds events to the log: what is checked
// before it, the columns it is given, its text, and what its failures mean.
// Packages outbox (pgx) and outboxsql (database/sql) hand it to their drivers.
package insert
