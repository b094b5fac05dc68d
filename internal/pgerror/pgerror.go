// Package pgerror reads errors of Postgres's, whichever driver brings them: pgx,
// lib/pq, bun's pgdriver, or one that at least tells the SQLSTATE.
package pgerror

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// State is the SQLSTATE of err; empty where it has none.
func State(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return field(err, 'C')
}

// Message is what Postgres says, without what a driver puts around it; all of
// err where the driver is not known.
func Message(err error) string {
	if m := field(err, 'M'); m != "" {
		return m
	}
	return err.Error()
}

// Detail is the DETAIL of err; empty where it has none.
func Detail(err error) string { return field(err, 'D') }

// Column is the name of the column that err tells of; empty where it does not.
func Column(err error) string { return field(err, 'c') }

// field is a field of an error, by its letter in Postgres's protocol.
func field(err error, letter byte) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch letter {
		case 'C':
			return pg.Code
		case 'M':
			return pg.Message
		case 'D':
			return pg.Detail
		case 'c':
			return pg.ColumnName
		}
	}
	var pq interface{ Get(field byte) string } // of lib/pq
	if errors.As(err, &pq) {
		return pq.Get(letter)
	}
	var bun interface{ Field(field byte) string } // of pgdriver
	if errors.As(err, &bun) {
		return bun.Field(letter)
	}
	return ""
}
