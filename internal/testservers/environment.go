package testservers

import "os"

// The variables that this package reads.
const (
	// DatabaseURLVariable holds the URL of a superuser of a PostgreSQL.
	DatabaseURLVariable = "TANDEM_TEST_DATABASE_URL"
	// KafkaBrokersVariable holds broker addresses, comma separated.
	KafkaBrokersVariable = "TANDEM_TEST_KAFKA_BROKERS"
	// PostgresVersionVariable holds the major version to start.
	PostgresVersionVariable = "TANDEM_TEST_POSTGRES_VERSION"
)

// NotToBeHad is put in place of an address by with-servers when it could not
// start the server, so that no test process tries again.
const NotToBeHad = "none"

// UnderCI tells whether a missing server is a failure.
func UnderCI() bool { return os.Getenv("CI") == "true" }
