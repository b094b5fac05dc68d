package testservers

// The images of the servers, the same in docker-compose.yml. Kafka's version is
// also that of integration/kafka/pom.xml. Tests compare them.
const (
	PostgresImage = "postgres:18"
	KafkaImage    = "apache/kafka:4.1.0"
)
