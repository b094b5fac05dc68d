//go:build unix

// Package pgproxy stands between a client and PostgreSQL in tests. It knows the
// statements that go by, so that a test can do something at the very moment when
// the server has one and the client has no answer yet ([Proxy.After]), or a bit
// before that or later ([Proxy.Before], [Proxy.Answered]); and it can fall silent
// without closing anything, as a network does ([Proxy.Swallow]), or lose one answer
// together with its connection ([Proxy.LoseReply]).
//
// The connections are not encrypted: the server must allow that.
package pgproxy
