package migrations

import (
	"context"

	"github.com/pressly/goose/v3/database"
)

// versionTable is goose's store with a look for its table that understands a
// quoted schema; goose's own takes the quotes for a part of the name and would
// create the table on every run.
type versionTable struct{ database.Store }

var _ database.StoreExtender = versionTable{}

// TableExists is what goose asks before it creates the table.
func (v versionTable) TableExists(ctx context.Context, db database.DBTxConn) (exists bool, err error) {
	err = db.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, v.Tablename()).Scan(&exists)
	return exists, err
}
