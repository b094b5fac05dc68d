package inboxhttp

// beginSQL is one round trip. READ COMMITTED whatever the role's default is:
// the look for the answer needs a snapshot that is taken after the lock. The two
// limits are in milliseconds.
const beginSQL = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL lock_timeout = %d;
SET LOCAL idle_in_transaction_session_timeout = %d`

// claimSQL claims the key until the transaction ends, without waiting. now() is
// when the transaction began: storeSQL knows it again by that. Locks: an advisory
// one, which everybody with the same key takes.
const claimSQL = `SELECT pg_try_advisory_xact_lock($1), now()`

// findSQL looks for the answer, by the primary key. An expired one is none.
const findSQL = `
SELECT fingerprint, status, headers, body FROM tandem.inbox_answer
WHERE consumer = $1 AND scope = $2 AND key = $3 AND expires_at > clock_timestamp()`

// The handler's effects can be taken back to here without letting go of the key.
const (
	savepointSQL = `SAVEPOINT tandem_request`
	undoSQL      = `ROLLBACK TO SAVEPOINT tandem_request`
)

// storeSQL keeps the answer, in place of an expired one. It does nothing in
// another transaction than the one that claimed the key ($9), nor where there is
// an answer that counts. Locks: the row's, for which it waits only while expired
// answers are being deleted.
const storeSQL = `
INSERT INTO tandem.inbox_answer AS a (consumer, scope, key, fingerprint, status, headers, body, expires_at)
SELECT $1::text, $2::text, $3::text, $4::bytea, $5::integer, $6::bytea, $7::bytea, clock_timestamp() + $8::bigint * interval '1 microsecond'
WHERE now() = $9::timestamptz
ON CONFLICT (consumer, scope, key) DO UPDATE SET fingerprint = excluded.fingerprint, status = excluded.status,
    headers = excluded.headers, body = excluded.body, stored_at = excluded.stored_at, expires_at = excluded.expires_at
WHERE a.expires_at <= clock_timestamp()`
