package testservers

import (
	"errors"
	"os"
	"testing"

	"github.com/tandem-outbox/tandem/internal/localkafka"
	"github.com/tandem-outbox/tandem/internal/localpg"
)

// OwnPostgres starts a server that this test alone uses and may crash. It always
// runs on this machine; settings (none or one map) go to its postgresql.conf.
func OwnPostgres(t testing.TB, settings ...map[string]string) *localpg.Server {
	t.Helper()
	o := localpg.Options{Version: os.Getenv(PostgresVersionVariable)}
	if len(settings) > 0 {
		o.Settings = settings[0]
	}
	s, err := localpg.Start(t.Context(), o)
	if errors.Is(err, localpg.ErrUnavailable) {
		Missing(t, "PostgreSQL of its own", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop the test's PostgreSQL: %v", err)
		}
	})
	return s
}

// OwnStandby starts a streaming standby of a server of this test's own, which is
// restarted on the way.
func OwnStandby(t testing.TB, primary *localpg.Server) *localpg.Server {
	t.Helper()
	s, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop the test's standby: %v", err)
		}
	})
	return s
}

// OwnKafka starts a server that this test alone uses and may crash. It always
// runs on this machine; properties (none or one map) go to its server.properties.
func OwnKafka(t testing.TB, properties ...map[string]string) *localkafka.Server {
	t.Helper()
	var o localkafka.Options
	if len(properties) > 0 {
		o.Properties = properties[0]
	}
	return OwnKafkaWith(t, o)
}

// OwnKafkaWith is OwnKafka with more than properties.
func OwnKafkaWith(t testing.TB, o localkafka.Options) *localkafka.Server {
	t.Helper()
	s, err := localkafka.Start(t.Context(), o)
	if errors.Is(err, localkafka.ErrUnavailable) {
		Missing(t, "Kafka of its own", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}
