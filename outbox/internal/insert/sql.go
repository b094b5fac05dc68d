package insert

import (
	"fmt"

	"github.com/tandem-outbox/tandem/internal/pgerror"
	"github.com/tandem-outbox/tandem/internal/schema"
)

// statement adds all events of a call, each parameter one array of [Columns]. An
// array that is NULL, or shorter than the others, is NULL in the rows it lacks.
//
// Positions are drawn in the order of the call: ORDER BY keeps the subquery
// apart from the defaults, so nextval runs above it, row by row. It costs no
// sort, because the planner knows WITH ORDINALITY to come in this order.
//
// The size limit is looked up here (one InitPlan) and not before, so that a
// change of it needs neither a restart nor a second round trip. A row above it
// ends the statement with TD001, DETAIL being the limit.
const statement = `
INSERT INTO tandem.log (id, not_before, expires, at_most_once, topic, partition, key, type, headers, payload)
SELECT e.id, e.not_before, e.expires, e.at_most_once, e.topic, e.partition, e.key, e.type, e.headers::jsonb, e.payload
FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bigint[],
        $9::boolean[], $10::timestamptz[], $11::timestamptz[])
    WITH ORDINALITY AS e (id, topic, partition, key, type, headers, payload, size, at_most_once, not_before, expires, place)
WHERE CASE WHEN e.size > (SELECT max_event_bytes FROM tandem.settings)
    THEN tandem.refuse_size(e.id, e.topic, e.size)
    ELSE true END
ORDER BY e.place`

// one is statement for a single event, each parameter a column. Half of what the
// arrays cost is their unpacking.
const one = `
INSERT INTO tandem.log (id, not_before, expires, at_most_once, topic, partition, key, type, headers, payload)
SELECT $1::uuid, $10::timestamptz, $11::timestamptz, $9::boolean, $2::text, $3::integer, $4::text, $5::text, $6::text::jsonb, $7::bytea
WHERE CASE WHEN $8::bigint > (SELECT max_event_bytes FROM tandem.settings)
    THEN tandem.refuse_size($1::uuid, $2::text, $8::bigint)
    ELSE true END`

const lockKey = `SELECT tandem.lock_key(VARIADIC $1::text[])`

// Statements are the statements for one schema.
type Statements struct {
	Insert  string // its parameters are the arrays of Columns, in their order there
	One     string // for one event: its parameters are those of Columns.One
	LockKey string // its parameter is the array of keys
	schema  string
}

// In returns the statements for a schema, whose name schema.Check has passed.
func In(name string) Statements {
	return Statements{Insert: schema.Rewrite(statement, name), One: schema.Rewrite(one, name), LockKey: schema.Rewrite(lockKey, name), schema: name}
}

// Result is the error of Insert as the caller gets to see it: a *Problem, or err
// with what was being done.
func (s Statements) Result(c *Columns, err error) error {
	if err == nil {
		return nil
	}
	if p := c.refused(err); p != nil {
		return p
	}
	return s.explain(fmt.Sprintf("add %d event(s)", c.Len()), err)
}

// Locked is the error of LockKey as the caller gets to see it.
func (s Statements) Locked(err error) error {
	if err == nil {
		return nil
	}
	return s.explain("lock keys", err)
}

// explain adds what was done and, where Postgres's text alone does not tell an
// operator, what to do next. It keeps err for errors.Is and errors.As.
func (s Statements) explain(doing string, err error) error {
	next := ""
	switch pgerror.State(err) {
	case "42P01", "3F000", "42883": // undefined_table, invalid_schema_name, undefined_function
		next = fmt.Sprintf("; is this the right database? If so, install schema %q with: tandem migrate up", s.schema)
	case "42501": // insufficient_privilege
		next = "; make this login a member of the writers: GRANT tandem_writer TO …"
	}
	return fmt.Errorf("outbox: %s: %w%s", doing, err, next)
}
