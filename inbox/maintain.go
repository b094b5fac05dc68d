package inbox

import (
	"context"
	"errors"
	"log/slog"
	"reflect"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/upkeep"
)

// DB is what the inbox's own upkeep needs of a pgx pool or connection.
// [*github.com/jackc/pgx/v5/pgxpool.Pool] has it.
type DB interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

var errNoDatabase = errors.New("inbox: db is nil: give a pool or a connection")

// Maintain looks after the inbox's storage until ctx ends, and then returns nil:
// at once and every hour it makes the storage of the coming year, empties what is
// older than the retention, and deletes foreign ids that have expired. It is for a
// service that calls [Once] where neither a relay nor an inboxkafka consumer runs
// on the database; those do the same, and so does `tandem inbox maintain`, once a
// day from cron, for who has no pgx. Any number may run at once.
//
// db must be in no transaction: give a pool. A consumer's rights (the role
// tandem_consumer) are enough. What fails is logged to log and tried again, from
// a minute to an hour later; a nil log is slog.Default(). Nobody who uses the
// inbox waits for it: see "Storage" in the package's documentation.
func Maintain(ctx context.Context, db DB, log *slog.Logger) error {
	return standard.Maintain(ctx, db, log)
}

// Maintain is [Maintain] for this inbox.
func (i *Inbox) Maintain(ctx context.Context, db DB, log *slog.Logger) error {
	if isNilDB(db) {
		return errNoDatabase
	}
	if log == nil {
		log = slog.Default()
	}
	upkeep.Run(ctx, db, i.schema, log)
	return nil
}

// isNilDB also sees a nil *pgxpool.Pool in the interface.
func isNilDB(db DB) bool {
	if db == nil {
		return true
	}
	v := reflect.ValueOf(db)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
