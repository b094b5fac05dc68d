package inboxkafka

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// A consumer that stood still while it started (SIGSTOP, a frozen machine) finds
// that the server has ended its session: nothing is wrong, so it goes on waiting.
func TestWhatMayPassAtStart(t *testing.T) {
	t.Parallel()
	c := &Consumer{}
	for code, passes := range map[string]bool{
		"25P03": true, "57P01": true, "57P03": true, "53300": true, "08006": true, "40001": true, "40P01": true, "55P03": true,
		"28P01": false, "3D000": false, "42501": false, "42P01": false, "XX001": false,
	} {
		var passing *unreachable
		require.Equal(t, passes, errors.As(c.databaseError(&pgconn.PgError{Code: code}), &passing), code)
	}
}
