//go:build unix

// Package kafkaproxy stands between a client and the brokers of Kafka in tests. It
// knows which requests go by, so that a test can do something just before the
// broker has one ([Proxy.Before]), when it has it and the client has no answer yet
// ([Proxy.After]), and when the answer is here ([Proxy.Answered]); and it can fall
// silent without closing anything, as a network does ([Proxy.Swallow]).
//
// One proxy is enough for all brokers: a client dials through [Dial], which says to
// whom. The connections are not encrypted: the brokers must allow that.
package kafkaproxy
