//go:build unix

// Package kafkaproxy stands between a client and the brokers of Kafka in tests. It
// knows which requests go by, so that a test can do something just before the
// broker has one ([Proxy.Before]), when it has it and the client has no answer yet
// ([Proxy.After]), and when the answer is here ([Proxy.Answered]); and it can fall
// silent without closing anything, as a network does ([Proxy.Swallow]), or lose one answer
// together with its connection ([Proxy.LoseReply]).
//
// One proxy is enough for all brokers: a client dials through [Dial], which says to
// whom. A client that cannot dial so needs somebody who does it for it, and
// [Proxy.Rewrite]. The connections are not encrypted: the brokers must allow that.
package kafkaproxy
