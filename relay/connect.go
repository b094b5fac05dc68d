package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tandem-outbox/tandem/internal/advice"
	"github.com/tandem-outbox/tandem/internal/schema"
	"github.com/tandem-outbox/tandem/relay/internal/findings"
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
	conn, err := r.open(ctx)
	if err != nil {
		return nil, server{}, err
	}
	return r.checked(ctx, conn, r.prepare)
}

// connectFirst is connect with everything that is looked at once: whether the
// session is the connection's own, and the schema.
func (r *Relay) connectFirst(ctx context.Context) (*pgx.Conn, server, error) {
	conn, err := r.open(ctx)
	if err != nil {
		return nil, server{}, err
	}
	return r.checked(ctx, conn, func(ctx context.Context, conn *pgx.Conn) (server, error) {
		if err := r.checkSession(ctx, conn); err != nil {
			return server{}, err
		}
		s, err := r.prepare(ctx, conn)
		if err != nil {
			return s, err
		}
		return s, r.checkSchema(ctx, conn)
	})
}

// checked closes a connection that check finds unfit, or that does not answer.
func (r *Relay) checked(ctx context.Context, conn *pgx.Conn, check func(context.Context, *pgx.Conn) (server, error)) (*pgx.Conn, server, error) {
	timeout := conn.Config().ConnectTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, noAnswer(timeout))
	defer cancel()
	s, err := check(ctx, conn)
	if err != nil {
		err = because(ctx, err)
		closeConn(conn)
		return nil, server{}, explainDatabase(err)
	}
	return conn, s, nil
}

// open opens a connection and sets nothing in its session.
func (r *Relay) open(ctx context.Context) (*pgx.Conn, error) {
	config := r.cfg.Database.Copy()
	if r.cfg.BeforeConnect != nil {
		if err := r.cfg.BeforeConnect(ctx, config); err != nil {
			return nil, fmt.Errorf("before connecting to the database: %w", err)
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
		return pgproto3.NewFrontend(bufio.NewReaderSize(r, bulkBytes), w)
	}
	config.DialFunc = dialBulk(config.DialFunc)
	if r.cfg.SyncStandbys {
		r.noticeCancelled(config)
	}
	config.RuntimeParams["application_name"] = "tandem relay " + r.cfg.Holder
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, explainDatabase(err)
	}
	return conn, nil
}

// checkSession opens a second connection for a moment, to see whether a pooler
// lets the two share a session.
func (r *Relay) checkSession(ctx context.Context, conn *pgx.Conn) error {
	other, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer closeConn(other)
	found, err := findings.Pooler(ctx, conn, other)
	if err != nil {
		return fmt.Errorf("look for a pooler: %w", err)
	}
	return setupError(found)
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
			Code:    advice.Standby,
			Problem: fmt.Sprintf("%s:%d is a standby: a snapshot taken there leaves out running transactions, whose events would be lost", conn.Config().Host, conn.Config().Port),
			Remedy:  "give the primary's address, or several with target_session_attrs=read-write",
		}
	}
	if r.cfg.SyncStandbys {
		return s, checkStandbys(ctx, conn)
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
	versions, err := r.checkVersion(ctx, conn)
	if err != nil {
		return err
	}
	if versions.Newer() {
		r.log.Info("the schema is newer than this program, and works with it", "schema", versions.Schema, "written_for", schema.Version)
	}
	found, err := findings.Schema(ctx, conn, r.cfg.Schema)
	if err != nil {
		return explainDatabase(fmt.Errorf("look at the schema: %w", err))
	}
	return setupError(found)
}

// checkVersion looks whether this code works with the schema, which may be newer.
func (r *Relay) checkVersion(ctx context.Context, conn *pgx.Conn) (schema.Versions, error) {
	var v schema.Versions
	err := conn.QueryRow(ctx, r.sql.versions, pgx.QueryExecModeExec).Scan(&v.Schema, &v.WorksWith)
	if errors.Is(err, pgx.ErrNoRows) {
		return v, &SetupError{Code: advice.SettingsEmpty, Problem: fmt.Sprintf("%s.settings is empty", r.cfg.Schema), Remedy: "restore its row, or run tandem migrate up in a new schema"}
	}
	if err != nil {
		return v, explainDatabase(err)
	}
	var mismatch *schema.MismatchError
	if errors.As(v.Check(r.cfg.Schema), &mismatch) {
		return v, &SetupError{Code: advice.SchemaVersion, Problem: mismatch.Problem(), Remedy: mismatch.Remedy()}
	}
	return v, nil
}

// setupError is one error for all findings, nil where there are none.
func setupError(found []findings.Finding) error {
	switch len(found) {
	case 0:
		return nil
	case 1:
		return &SetupError{Code: found[0].Code, Problem: found[0].Problem + ": " + found[0].Why, Remedy: found[0].Remedy}
	}
	var list strings.Builder
	for i, f := range found {
		fmt.Fprintf(&list, " (%d) %s.", i+1, f)
	}
	return &SetupError{Problem: fmt.Sprintf("%d things are wrong with the database:%s", len(found), list.String())}
}

// statements are the relay's statements for its schema.
type statements struct {
	versions, checkpoint, poll, freeze, page, smallPage                 string
	acquire, renew, release, save, saves, compact                       string
	doneLeaves, reclaim, tidy                                           string
	eligible, due, nextDue, heldKeys, setAsideTopics, setAsideAhead     string
	requests, redriveTopics, requestProgress                            string
	openReplay, replayPage, replayProgress                              string
	hasCheckpoint, holder, rebaseCount, settle, unsettle, raiseSequence string
	beat                                                                string
}

func statementsFor(name string) statements {
	in := func(statement string) string { return schema.Rewrite(statement, name) }
	return statements{
		versions: in(schema.VersionsSQL), checkpoint: in(sqlCheckpoint),
		poll: in(sqlPoll), freeze: in(sqlFreeze), page: in(sqlPage), smallPage: in(sqlSmallPage),
		acquire: in(sqlAcquire), renew: in(sqlRenew), release: in(sqlRelease), save: in(sqlSave), saves: in(sqlSaves), compact: in(sqlCompact),
		eligible: in(sqlEligible), due: in(sqlDue), nextDue: in(sqlNextDue), heldKeys: in(sqlHeldKeys), setAsideTopics: in(sqlSetAsideTopics), setAsideAhead: in(sqlSetAsideAhead),
		requests: in(sqlRequests), redriveTopics: in(sqlRedriveTopics), requestProgress: in(sqlRequestProgress),
		openReplay: in(sqlOpenReplay), replayPage: in(sqlReplayPage), replayProgress: in(sqlReplayProgress),
		doneLeaves: in(sqlDoneLeaves), reclaim: in(sqlReclaim), tidy: in(sqlTidy),
		hasCheckpoint: in(sqlHasCheckpoint), holder: in(sqlHolder), rebaseCount: in(sqlRebaseCount),
		settle: in(sqlSettle), unsettle: in(sqlUnsettle), raiseSequence: in(sqlRaiseSequence),
		beat: in(sqlBeat),
	}
}
