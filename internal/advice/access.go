package advice

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// AccessError means that the login or the schema is not as it has to be.
type AccessError struct {
	Remedy string
	Err    error
}

func (e *AccessError) Error() string { return e.Err.Error() + "; " + e.Remedy }
func (e *AccessError) Unwrap() error { return e.Err }

// Explain adds to err what was being done, and makes it an AccessError where its
// SQLSTATE says what to do next. role is the one whose rights are needed.
func Explain(err error, doing, role string) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", doing, err)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "42501": // insufficient_privilege
		return &AccessError{Err: err, Remedy: fmt.Sprintf("the login needs the role %[1]s (GRANT %[1]s TO …)", role)}
	case "3F000", "42P01", "42703", "42883": // no such schema, table, column, function
		return &AccessError{Err: err, Remedy: "check the schema's name, and its version with tandem migrate status: is it older than this program, tandem migrate up; is it newer, upgrade the program"}
	}
	return err
}
