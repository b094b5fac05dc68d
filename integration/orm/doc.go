// Package orm shows services on GORM and on bun that keep Tandem's promise, and
// tests them on real servers: business rows and events in one transaction, a
// message's id and its effects in one transaction, consumers of Kafka.
//
// It is a module of its own, so that nobody who uses Tandem links an ORM.
package orm
