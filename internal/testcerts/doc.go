// Package testcerts makes certificates for tests of TLS: an [Authority] that
// nobody else trusts, and what it issues.
package testcerts
