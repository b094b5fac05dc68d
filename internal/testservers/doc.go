// Package testservers gives tests a real PostgreSQL and a real Apache Kafka.
//
//	func TestMain(m *testing.M) { testservers.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		url := testservers.Postgres(t)       // a fresh, empty database
//		brokers := testservers.Kafka(t)      // the brokers' addresses
//		topic := testservers.Topic(t, 3)     // a fresh topic
//	}
//
// Where the servers come from, in this order:
//
//   - the addresses in TANDEM_TEST_DATABASE_URL (of a superuser) and
//     TANDEM_TEST_KAFKA_BROKERS;
//   - containers, if a Docker engine answers;
//   - this machine: packages localpg and localkafka.
//
// They are started when the first test asks and stopped by [Main]. The program
// with-servers starts them once for a whole run of "go test ./..." and hands
// their addresses down in the environment.
//
// Where none are to be had, a test is skipped with a message that says what to
// install; under CI=true it fails. TANDEM_TEST_POSTGRES_VERSION chooses another
// major version than the default.
//
// Tests that crash a server take one of their own: [OwnPostgres], [OwnKafka].
package testservers
