package admin

import "context"

// Maintained is what Maintain has done.
type Maintained struct {
	Made    int `json:"leaves_made"`
	Emptied int `json:"leaves_emptied"`
}

// Maintain makes the inbox's storage of the coming year and empties what is older
// than the retention, as the relay and every consumer do once a day, until a call
// finds nothing to do. What somebody else is at, it leaves to them.
func (o *Operator) Maintain(ctx context.Context) (Maintained, error) {
	var all Maintained
	for {
		var now Maintained
		if err := o.row(ctx, sqlMaintain).Scan(&now.Made, &now.Emptied); err != nil {
			return all, explain(err, "maintain the inbox")
		}
		if now == (Maintained{}) {
			return all, nil
		}
		all.Made += now.Made
		all.Emptied += now.Emptied
	}
}

const sqlMaintain = `SELECT made, emptied FROM tandem.maintain_inbox()`
