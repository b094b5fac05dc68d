package inboxkafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/segmentio/kafka-go"

	"github.com/tandem-outbox/tandem/inbox/internal/apply"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// StartError says what kept Run from starting.
type StartError struct {
	// Subject is what is at fault: "database", "schema", "brokers", "topic" or
	// "group".
	Subject string
	Hint    string // what an operator can do about it
	Err     error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("inboxkafka: %s: %v: %s", e.Subject, e.Err, e.Hint)
}

func (e *StartError) Unwrap() error { return e.Err }

// attemptTimeout bounds one attempt at start, so that an address that swallows
// packets does not use up the whole StartTimeout in silence.
const attemptTimeout = 5 * time.Second

// start checks everything that Run needs, and waits for what cannot be reached.
func (c *Consumer) start(ctx context.Context, conns *connections) error {
	if err := c.await(ctx, c.checkDatabase); err != nil {
		return err
	}
	return c.await(ctx, func(ctx context.Context) error { return c.checkTopics(ctx, conns) })
}

// await repeats check until it succeeds, fails for good with a StartError, or
// StartTimeout is over. An unreachable is what may pass.
func (c *Consumer) await(ctx context.Context, check func(context.Context) error) error {
	deadline := time.Now().Add(c.config.StartTimeout)
	pause := backoff{min: 50 * time.Millisecond, max: time.Second}
	trouble := trouble{log: c.config.Logger}
	for {
		attempt, cancel := context.WithTimeout(ctx, min(attemptTimeout, c.config.StartTimeout))
		err := check(attempt)
		cancel()
		var passing *unreachable
		if !errors.As(err, &passing) || ctx.Err() != nil {
			return err
		}
		if time.Now().After(deadline) {
			return &StartError{
				Subject: passing.subject,
				Err:     fmt.Errorf("not reached within %v: %w", c.config.StartTimeout, passing.err),
				Hint:    "check the address and that it is up, or raise Config.StartTimeout",
			}
		}
		c.stats.stand(isStarting, err)
		trouble.warn(passing.subject, "waiting for what cannot be reached", "subject", passing.subject, "error", passing.err)
		if !pause.wait(ctx) {
			return ctx.Err()
		}
	}
}

type unreachable struct {
	subject string
	err     error
}

func (u *unreachable) Error() string { return u.subject + ": " + u.err.Error() }
func (u *unreachable) Unwrap() error { return u.err }

// rightsSQL asks for what a consumer needs.
const rightsSQL = `
SELECT bool_and(has_table_privilege(relation, privilege)) AND has_sequence_privilege('tandem.inbox_floor', 'SELECT')
FROM (VALUES
    ('tandem.inbox', 'SELECT, INSERT'), ('tandem.inbox_foreign', 'SELECT, INSERT'), ('tandem.inbox_late', 'SELECT, INSERT'),
    ('tandem.inbox_bounds', 'SELECT'), ('tandem.inbox_dropped', 'INSERT'), ('tandem.inbox_consumer', 'SELECT, INSERT, UPDATE'),
    ('tandem.inbox_partition', 'SELECT, INSERT, UPDATE'), ('tandem.inbox_aside', 'SELECT, INSERT, UPDATE, DELETE')
) AS needed (relation, privileges), regexp_split_to_table(privileges, ', ') AS privilege`

func (c *Consumer) checkDatabase(ctx context.Context) error {
	var versions schema.Versions
	var standby, allowed bool
	var mismatch *schema.MismatchError
	err := c.apply.Do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, schema.Rewrite(schema.VersionsSQL, c.config.Schema)).Scan(&versions.Schema, &versions.WorksWith)
		if err != nil || errors.As(versions.Check(c.config.Schema), &mismatch) {
			return err
		}
		if err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&standby); err != nil || standby {
			return err
		}
		return conn.QueryRow(ctx, schema.Rewrite(rightsSQL, c.config.Schema)).Scan(&allowed)
	})
	switch {
	case err != nil:
		return c.databaseError(err)
	case mismatch != nil:
		return &StartError{Subject: "schema", Err: errors.New(mismatch.Problem()), Hint: mismatch.Remedy()}
	case standby:
		return &StartError{Subject: "database", Err: errors.New("it is a standby and cannot be written to"),
			Hint: "connect to the primary (target_session_attrs=read-write)"}
	case !allowed:
		return c.notAllowed(errors.New("the login may not use the inbox"))
	}
	if versions.Newer() {
		c.config.Logger.Info("the schema is newer than this program, and works with it", "schema", versions.Schema, "written_for", schema.Version)
	}
	return c.register(ctx)
}

// databaseError tells what is wrong from what is merely not there yet.
func (c *Consumer) databaseError(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return &unreachable{subject: "database", err: err}
	}
	switch {
	case pg.Code == "42P01" || pg.Code == "3F000": // undefined_table, invalid_schema_name
		return &StartError{Subject: "schema", Err: fmt.Errorf("there is no Tandem in schema %q: %w", c.config.Schema, err),
			Hint: "run `tandem migrate up`, or correct Config.Schema"}
	case pg.Code == "42501": // insufficient_privilege
		return c.notAllowed(err)
	case pg.Code[:2] == "28": // invalid authorization
		return &StartError{Subject: "database", Err: err, Hint: "check the login and its password"}
	case pg.Code == "3D000": // invalid_catalog_name
		return &StartError{Subject: "database", Err: err, Hint: "check the database's name"}
	case apply.Repeats(err), pg.Code[:2] == "57" || pg.Code[:2] == "53":
		return &unreachable{subject: "database", err: err}
	}
	return &StartError{Subject: "database", Err: err, Hint: "see the server's log"}
}

func (c *Consumer) notAllowed(err error) error {
	return &StartError{Subject: "database", Err: err, Hint: "GRANT tandem_consumer TO the login that the pool connects as"}
}

func (c *Consumer) checkTopics(ctx context.Context, conns *connections) error {
	var conn *kafka.Conn
	var err error
	for _, broker := range c.config.Brokers {
		if conn, err = c.dialer(conns).DialContext(ctx, "tcp", broker); err == nil {
			break
		}
	}
	if err != nil {
		return brokerError(err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	for _, topic := range c.config.Topics {
		_, err := conn.ReadPartitions(topic)
		switch {
		case errors.Is(err, kafka.UnknownTopicOrPartition), errors.Is(err, kafka.InvalidTopic):
			return &StartError{Subject: "topic", Err: fmt.Errorf("topic %q: %w", topic, err), Hint: "create it, or correct Config.Topics"}
		case errors.Is(err, kafka.TopicAuthorizationFailed):
			return &StartError{Subject: "topic", Err: fmt.Errorf("topic %q: %w", topic, err), Hint: "allow this client to Describe and Read it"}
		case err != nil:
			return brokerError(fmt.Errorf("topic %q: %w", topic, err))
		}
	}
	return nil
}

// brokerError tells what is wrong from what is merely not there yet.
func brokerError(err error) error {
	var certificate *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	switch {
	case errors.Is(err, kafka.SASLAuthenticationFailed), errors.Is(err, kafka.UnsupportedSASLMechanism), errors.Is(err, kafka.IllegalSASLState):
		return &StartError{Subject: "brokers", Err: err, Hint: "check Config.SASL"}
	case errors.As(err, &certificate), errors.As(err, &notTLS):
		return &StartError{Subject: "brokers", Err: err, Hint: "check Config.TLS and the port"}
	}
	return &unreachable{subject: "brokers", err: err}
}

func (c *Consumer) dialer(conns *connections) *kafka.Dialer {
	return &kafka.Dialer{
		ClientID:      "tandem",
		DialFunc:      conns.Dial,
		Timeout:       attemptTimeout,
		TLS:           c.config.TLS,
		SASLMechanism: c.config.SASL,
	}
}
