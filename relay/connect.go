package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tandem-outbox/tandem/internal/schema"
)

// server identifies the cluster that positions and snapshots belong to.
type server struct {
	system   int64
	timeline int32
	database int64
}

// connect opens one connection with the session settings that the statements
// were measured with, and refuses a server that is not the primary.
func (r *Relay) connect(ctx context.Context) (*pgx.Conn, server, error) {
	config := r.cfg.Database.Copy()
	if r.cfg.BeforeConnect != nil {
		if err := r.cfg.BeforeConnect(ctx, config); err != nil {
			return nil, server{}, fmt.Errorf("before connecting to the database: %w", err)
		}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	// Pages are decoded in the binary format, and their plans are kept.
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	config.StatementCacheCapacity = max(config.StatementCacheCapacity, 64)
	// A page is a megabyte or two; the driver by itself reads 8 kB at a time.
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(bufio.NewReaderSize(r, 64<<10), w)
	}
	config.RuntimeParams["application_name"] = "tandem relay " + r.cfg.Holder
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, server{}, explainDatabase(err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, config.ConnectTimeout, fmt.Errorf("no answer within %v", config.ConnectTimeout))
	defer cancel()
	s, err := r.prepare(ctx, conn)
	if err != nil {
		err = because(ctx, err)
		closeConn(conn)
		return nil, server{}, explainDatabase(err)
	}
	return conn, s, nil
}

func (r *Relay) prepare(ctx context.Context, conn *pgx.Conn) (server, error) {
	var s server
	if _, err := conn.Exec(ctx, sqlSession+fmt.Sprintf(sqlIdle, r.cfg.Lease.Milliseconds()/2, r.cfg.Lease.Milliseconds())); err != nil {
		return s, fmt.Errorf("set the session up: %w", err)
	}
	var standby bool
	if err := conn.QueryRow(ctx, sqlServer).Scan(&standby, &s.system, &s.timeline, &s.database); err != nil {
		return s, fmt.Errorf("identify the server: %w", err)
	}
	if standby {
		return s, &SetupError{
			Problem: fmt.Sprintf("%s:%d is a standby: a snapshot taken there leaves out running transactions, whose events would be lost", conn.Config().Host, conn.Config().Port),
			Remedy:  "give the primary's address, or several with target_session_attrs=read-write",
		}
	}
	return s, nil
}

// closeConn does not wait for a server that does not answer.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// checkSchema compares the database's schema with what this code was written for.
func (r *Relay) checkSchema(ctx context.Context, conn *pgx.Conn) error {
	var version int
	err := conn.QueryRow(ctx, r.sql.version).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		return &SetupError{Problem: fmt.Sprintf("%s.settings is empty", r.cfg.Schema), Remedy: "restore its row, or run tandem migrate up in a new schema"}
	}
	if err != nil {
		return explainDatabase(err)
	}
	if version < schema.Version {
		return &SetupError{
			Problem: fmt.Sprintf("schema %q is at version %d, this relay needs %d", r.cfg.Schema, version, schema.Version),
			Remedy:  "run tandem migrate up",
		}
	}
	if version > schema.Version {
		return &SetupError{
			Problem: fmt.Sprintf("schema %q is at version %d, newer than this relay's %d", r.cfg.Schema, version, schema.Version),
			Remedy:  "run a newer tandem",
		}
	}
	var cache int64
	if err := conn.QueryRow(ctx, r.sql.sequenceCache).Scan(&cache); err != nil {
		return explainDatabase(err)
	}
	if cache != 1 {
		return &SetupError{
			Problem: fmt.Sprintf("sequence %s.log_position has CACHE %d: sessions would draw positions out of order", r.cfg.Schema, cache),
			Remedy:  fmt.Sprintf("run ALTER SEQUENCE %s.log_position CACHE 1", r.cfg.Schema),
		}
	}
	return nil
}

// statements are the relay's statements for its schema.
type statements struct {
	version, sequenceCache, checkpoint, poll, freeze, page, smallPage   string
	acquire, renew, release, save, saves, compact                              string
	doneLeaves, reclaim, maintainInbox                                  string
	hasCheckpoint, holder, rebaseCount, settle, unsettle, raiseSequence string
}

func statementsFor(name string) statements {
	in := func(statement string) string { return schema.Rewrite(statement, name) }
	return statements{
		version: in(sqlVersion), sequenceCache: in(sqlSequenceCache), checkpoint: in(sqlCheckpoint),
		poll: in(sqlPoll), freeze: in(sqlFreeze), page: in(sqlPage), smallPage: in(sqlSmallPage),
		acquire: in(sqlAcquire), renew: in(sqlRenew), release: in(sqlRelease), save: in(sqlSave), saves: in(sqlSaves), compact: in(sqlCompact),
		doneLeaves: in(sqlDoneLeaves), reclaim: in(sqlReclaim), maintainInbox: in(sqlMaintainInbox),
		hasCheckpoint: in(sqlHasCheckpoint), holder: in(sqlHolder), rebaseCount: in(sqlRebaseCount),
		settle: in(sqlSettle), unsettle: in(sqlUnsettle), raiseSequence: in(sqlRaiseSequence),
	}
}
