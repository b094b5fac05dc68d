// Package docs runs the documents: README.md, the pages under docs and those of the
// examples, as somebody would who follows them from the first line to the last.
//
//   - A block of Go, Python or a unit file is a part of a file of this repository
//     that is compiled and run by tests, character by character.
//   - A block of sh or sql is run as it stands, in the page's order, on a PostgreSQL
//     and a Kafka that the page has for itself, by the page's [story]; but for the
//     addresses, and for "tandem relay", which ends when it has nothing left to do.
//   - A block of yaml is the configuration of a program that its story runs, or a part
//     of a file of this repository.
//   - A block of console has commands for what the tests do not have (Docker,
//     Kubernetes, systemd) or have for themselves (make, git): the files, targets,
//     services and flags that they name are there.
//   - A link leads to a file and a heading that exist.
//
// The tests are all there is; nothing imports this package.
package docs
