// Package findings looks at a database before a relay believes it: is Tandem's
// schema as the migrations left it, may this login do what a relay does, does a
// connection reach a session of its own? Each thing that is wrong is a Finding.
//
// It changes nothing, reads catalogs and two rows, and needs a relay's rights.
// The relay refuses to start on a finding; tandem doctor prints them.
package findings
