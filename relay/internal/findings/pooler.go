package findings

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/advice"
)

// sqlSession is the server session that a statement runs in: a process, of one
// start of one server.
const sqlSession = `SELECT pg_backend_pid() || ' of ' || pg_postmaster_start_time()`

// Pooler finds a pooler that hands sessions out by transaction or statement.
// Both connections must be fresh: nothing is set in the session before it is
// known to be ours alone.
//
// Each connection is asked for its session, in an order in which a pooler gives
// itself away: one that takes the session used last (PgBouncer) answers both
// from the same, one that goes round answers the same question differently. A
// plain server and a pooler in session mode give each connection its own, and
// always that.
//
// A proxy that reserves a session once something is set in it (Amazon's) is
// refused too, though it would do: it cannot be told apart without leaving
// settings behind in sessions of others.
func Pooler(ctx context.Context, a, b *pgx.Conn) ([]Finding, error) {
	of := map[*pgx.Conn]string{}
	for _, conn := range []*pgx.Conn{a, a, b, a, b, b, a, b} {
		var session string
		if err := conn.QueryRow(ctx, sqlSession, pgx.QueryExecModeSimpleProtocol).Scan(&session); err != nil {
			return nil, err
		}
		if of[conn] == "" {
			of[conn] = session
		}
		if of[conn] != session || of[a] == of[b] {
			return []Finding{{
				Code:    advice.Pooler,
				Problem: "there is a pooler before the database that shares its sessions between connections, transaction by transaction",
				Why:     "what the relay sets and prepares in a session would meet other clients, and be missing where it is needed",
				Remedy:  "give the server's own address, or one of a pool in session mode (pool_mode=session in PgBouncer)",
			}}, nil
		}
	}
	return nil, nil
}
