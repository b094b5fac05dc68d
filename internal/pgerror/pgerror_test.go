package pgerror_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/pgerror"
)

// bunError is made like pgdriver.Error, whose driver is not a module of ours.
type bunError struct{ fields map[byte]string }

func (e bunError) Error() string            { return "ERROR: " + e.fields['M'] }
func (e bunError) Field(letter byte) string { return e.fields[letter] }

// stranger only tells the SQLSTATE.
type stranger struct{}

func (stranger) Error() string    { return "it failed" }
func (stranger) SQLState() string { return "TD010" }

func TestEveryDriver(t *testing.T) {
	for name, err := range map[string]error{
		"pgx":    &pgconn.PgError{Code: "TD010", Message: "too old", Detail: "since", ColumnName: "id"},
		"lib/pq": &pq.Error{Code: "TD010", Message: "too old", Detail: "since", Column: "id"},
		"bun":    bunError{map[byte]string{'C': "TD010", 'M': "too old", 'D': "since", 'c': "id"}},
	} {
		err = fmt.Errorf("around it: %w", err)
		require.Equal(t, "TD010", pgerror.State(err), name)
		require.Equal(t, "too old", pgerror.Message(err), name)
		require.Equal(t, "since", pgerror.Detail(err), name)
		require.Equal(t, "id", pgerror.Column(err), name)
	}
	require.Equal(t, "TD010", pgerror.State(stranger{}))
	require.Equal(t, "it failed", pgerror.Message(stranger{}))
	require.Empty(t, pgerror.Column(stranger{}))
	require.Empty(t, pgerror.State(errors.New("no error of Postgres's")))
}
