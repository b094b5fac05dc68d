//go:build unix

// Package testlinks is the network between one process and its servers, in tests,
// with faults. The process is a real one, of the real program: all that it is
// given are addresses.
//
//	db := testlinks.NewPostgres(t, database)
//	kafka := testlinks.NewKafka(t, brokers)
//	start(db.URL(), kafka.Brokers())
//	db.Delay(20*time.Millisecond, 10*time.Millisecond)
//	kafka.HalfOpen(false, true) // the brokers do it, and nobody hears of it
//	kafka.Heal()
//	committed := db.LoseReply(pgproxy.Containing("commit"))
//
// On the way to a server are two proxies. The first knows bytes alone: it delays,
// throttles, loses, cuts and refuses. The second knows the protocol, and loses the
// answer to one certain request:
//
//	process → Toxiproxy's links → pgproxy    → PostgreSQL
//	process → Toxiproxy's links → kafkaproxy → the broker
//
// Of Toxiproxy there are the links and their toxics, not its listener and its
// connections. Its Proxy leaves goroutines behind for each connection that is
// reset while something is on the way to it; it cannot change a toxic, nor stop,
// while a client does not read, and a client that was stopped by a signal does not;
// it resets nothing; and others may take its port while it is down. Toxics are
// added and removed, never updated, since an update writes what running links
// read.
package testlinks
