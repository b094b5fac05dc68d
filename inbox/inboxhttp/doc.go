// Package inboxhttp makes the effects of an HTTP request happen once, however
// often a client repeats it.
//
// A client whose answer was lost cannot know whether its payment was made. It
// sends the request again, with the same Idempotency-Key. [Middleware] runs the
// handler in a transaction and keeps the answer in it: effects and answer are
// committed together or not at all, and only then is the answer sent. A
// repetition gets the same answer, with the header "Idempotent-Replayed: true",
// and has no effect.
//
//	once, err := inboxhttp.New(inboxhttp.Config{
//		Consumer: "payments",
//		Scope:    func(r *http.Request) (string, error) { return account(r.Context()) },
//	}, pool)
//	…
//	mux.Handle("POST /payments", once.Handle(func(w http.ResponseWriter, r *http.Request, tx pgx.Tx) {
//		// all effects in tx; outbox.Add too
//	}))
//
// [Middleware.Handle] is for one endpoint, [Middleware.Wrap] for any
// http.Handler, a whole router too, whose handlers find the transaction with
// [Tx]. It needs Postgres and pgx alone.
//
// # What becomes of an answer
//
//	1xx               not sent
//	200 to 399        effects and answer are committed
//	400 to 499        effects are undone, the answer is kept (Config.Commit changes that)
//	500 and more      effects are undone, the answer is sent and not kept
//	a panic           as 500, logged with its stack; http.ErrAbortHandler goes on
//
// So a client may repeat what was answered with 500 or more, or not at all, until
// it gets something else. Answers are kept for Config.Retention.
//
// A handler whose statement failed, and who answers less than 400 all the same,
// has its effects undone and the client gets 500, because Postgres cannot commit
// them. The transaction is not the handler's to end; one that does so by SQL is
// found out and its client gets 500. A client that goes away before the COMMIT
// (the request's context ends) has the effects undone; what it asks again is done
// anew. After that nothing it does changes the outcome.
//
// # Problems
//
// What the middleware has to say itself is a problem in JSON (RFC 9457), and
// nothing was done where it says so:
//
//	400 key-missing      Idempotency-Key is missing
//	400 key-malformed    Idempotency-Key is malformed
//	400 body-unreadable  the body did not arrive whole
//	405 method           [Middleware.Handle], and a method that is not in Config.Methods
//	409 in-progress      a request of this key is under way; with Retry-After
//	413 body-too-large   the body has more than Config.MaxBody bytes
//	422 key-reused       the key came with another request: method, path, query,
//	                     Content-Type and body have to be the same, byte for byte
//	500 internal         logged; nothing was kept
//	503 unavailable      the database is away, or did not answer to COMMIT; the
//	                     request may have been done, to repeat it tells; with Retry-After
//
// # The key
//
// The header is that of the IETF's draft-ietf-httpapi-idempotency-key-header: one
// string in quotes (RFC 9651), of 1 to 255 characters. Many clients send it bare,
// so that is taken too where it is unambiguous, and is the same key:
//
//	Idempotency-Key: "8e03978e-40d5-43e8-bc93-6894a57f9324"
//	Idempotency-Key: 8e03978e-40d5-43e8-bc93-6894a57f9324
//
// # The protocol
//
// The body is read first, so that a slow client holds no connection. Then, in one
// transaction:
//
//	BEGIN READ COMMITTED with its time limits    one round trip
//	pg_try_advisory_xact_lock(key); the answer?  one round trip, pipelined
//	the handler
//	INSERT the answer                            one round trip
//	COMMIT                                       one round trip
//	send
//
// An answer that is there is sent. Else who does not get the lock is told so at
// once: nobody waits. The lock ends with the transaction, however that ends, so a
// crash leaves no claim; that of a frozen process is ended by Postgres after
// Config.IdleTimeout. No session state is used: poolers that share sessions by
// transaction will do.
//
// # What the caller still has to do
//
//   - Keep every effect in the transaction. A mail, or a call of another service,
//     is outside of it and happens as often as the request is tried.
//   - Authenticate before, and name the client in Config.Scope.
//   - Know that answers are kept as they are, bodies and Set-Cookie included,
//     readable for whoever may read tandem.inbox_answer.
//   - Run a relay, a consumer or inbox.Maintain on the database: they delete what
//     has expired.
//   - Use the transaction until the handler returns and no longer: a
//     http.TimeoutHandler goes around the middleware, not into it.
//   - Expect a buffered answer: no Flush, no Hijack, no trailers. Content-Length,
//     Date and what belongs to one connection (Connection, Transfer-Encoding, …)
//     are not taken from the handler; net/http sets them.
package inboxhttp
