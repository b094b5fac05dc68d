// Package localkafka starts a real Apache Kafka on this machine, for tests that
// must not depend on a container engine: one node that is broker and controller
// (KRaft) on ports of 127.0.0.1, its data in one directory that disappears with
// it.
//
// It needs Java 17 or newer and, the first time, Maven, which resolves Kafka
// from integration/kafka/pom.xml of this module (package maven).
//
// [Server.Kill] is a crash and [Server.Restart] brings the same data back on the
// same port. The caller ends every server with [Server.Stop].
package localkafka
