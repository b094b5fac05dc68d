package main

import (
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-outbox/tandem/inbox"
	"github.com/tandem-outbox/tandem/inbox/inboxkafka"
)

// consume is what all three services have in common. Under its name the inbox
// remembers which messages a service has processed.
func consume(pool *pgxpool.Pool, brokers []string, name, topic string, handler inbox.Handler) (*inboxkafka.Consumer, error) {
	return inboxkafka.NewConsumer(inboxkafka.Config{
		Brokers:  brokers,
		Consumer: name,
		GroupID:  topic + "." + name, // defaults to Consumer; each run of this example has a topic and a group of its own
		Topics:   []string{topic},
	}, pool, handler)
}
