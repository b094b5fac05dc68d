package testservers

import (
	"fmt"
	"testing"
)

// Missing ends a test that has no server. This is the only place that decides
// between skipping and failing.
func Missing(t testing.TB, name string, err error) {
	t.Helper()
	if UnderCI() {
		t.Fatal(unavailable(name, err))
	}
	t.Skip(unavailable(name, err))
}

func unavailable(name string, err error) string {
	return fmt.Sprintf("no %s for the tests: %v\n"+
		"(give addresses in %s and %s, or run a Docker engine, or install what the message names)",
		name, err, DatabaseURLVariable, KafkaBrokersVariable)
}
