// Package relaykafka sends the relay's events to Kafka. It promises that a
// Publish that returns nil has been acknowledged by all in-sync replicas, that
// the events of one call stand in the partition in the order given, each as one
// CloudEvents record in binary mode, and that every error says whether the
// events, the topic or only the moment was wrong.
//
//	publisher, err := relaykafka.New(relaykafka.Config{
//		Brokers: []string{"kafka-1:9092", "kafka-2:9092"},
//		Source:  "/tandem/shop",
//	})
//	if err != nil {
//		return err
//	}
//	defer publisher.Close()
//	if err := publisher.Check(ctx); err != nil {
//		return err
//	}
//	return relay.Run(ctx, relay.Config{Publisher: publisher, Database: database})
//
// # The record
//
// Key and value are the event's bytes; a nil payload is a null value, a
// tombstone. The timestamp is when the writer's INSERT ran. The headers, in this
// order, are
//
//	ce_specversion  1.0
//	ce_id           the event's UUID, 36 characters; receivers deduplicate by it
//	ce_source       Config.Source
//	ce_type         the event's type, or the topic where it has none
//	ce_time         when the writer's INSERT ran, RFC 3339 in UTC with microseconds
//
// followed by the event's own headers in the order in which they are stored;
// content-type and traceparent are two of those. A record that an operator has
// asked for again ends with tandem-replay, the number of the request.
//
// # What the caller does
//
// Topics are never created from here: create them first. A Publish whose answer
// is lost is repeated by the relay, so a record can appear twice, with the same
// ce_id both times. The brokers must be Apache Kafka 0.11 or newer, or speak its
// protocol. Close the publisher when the relay has returned.
package relaykafka
