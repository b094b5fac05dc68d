package schema

import "fmt"

// Versions are what tandem.settings says of a schema. Programs are upgraded after
// the schema, one by one: meanwhile those of an older version work with it, if it
// says so.
type Versions struct {
	Schema    int // the newest migration
	WorksWith int // the oldest version that programs may be written for
}

// VersionsSQL brings them, in this order.
const VersionsSQL = `SELECT schema_version, works_with FROM tandem.settings`

// Newer tells whether the schema has migrations that this code does not know.
func (v Versions) Newer() bool { return v.Schema > Version }

// Check returns a *MismatchError where this code does not work with the schema of
// that name.
func (v Versions) Check(name string) error {
	if v.Schema < Version || v.Newer() && v.WorksWith > Version {
		return &MismatchError{Name: name, Versions: v}
	}
	return nil
}

// MismatchError means that schema and program do not fit, and says which of the
// two to upgrade.
type MismatchError struct {
	Name string
	Versions
}

func (e *MismatchError) Error() string { return e.Problem() + "; " + e.Remedy() }

// Problem is what is wrong.
func (e *MismatchError) Problem() string {
	if e.Newer() {
		return fmt.Sprintf("schema %q is at version %d and works with programs written for version %d or newer, this one is written for %d",
			e.Name, e.Schema, e.WorksWith, Version)
	}
	return fmt.Sprintf("schema %q is at version %d, this program is written for version %d", e.Name, e.Schema, Version)
}

// Remedy is what to do.
func (e *MismatchError) Remedy() string {
	if e.Newer() {
		return fmt.Sprintf("upgrade this program: tandem version shows which version it is written for, %d at least is needed", e.WorksWith)
	}
	return "run tandem migrate up of this program's release first: the schema is upgraded before the programs"
}
