// Tandem-demo shows the whole pipe at work while its parts are killed.
//
// A shop takes orders in business transactions, some of which roll back. A relay
// publishes their events. Two consumers charge the customers, one with an inbox
// and one without. Relay and consumers are processes of their own and are
// SIGKILLed at random; what comes out of it is counted in the database and in
// the topic, record by record:
//
//	shop ──► PostgreSQL ──► relay ──► Kafka ──► charges with an inbox
//	         (log)          killed              killed
//	                                      └───► charges without one
//	                                            killed
//
// It needs nothing but the program tandem beside it: PostgreSQL is started on
// this machine and the broker is a fake one in this process, unless the flags
// give servers of the user's own. Nothing stays behind.
//
// Where to look: demo.go has the order of events, shop.go the writers,
// consumer.go the two ways to charge, actor.go who is killed and started again,
// audit.go what is counted, report.go what was promised.
package main
