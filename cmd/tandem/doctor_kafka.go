package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/tandem-outbox/tandem/internal/advice"
	"github.com/tandem-outbox/tandem/relay"
	"github.com/tandem-outbox/tandem/relay/admin"
	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// envelope is about what a record has beside key, headers and payload: the
// headers of CloudEvents, and the frame of a batch.
const envelope = 1024

// examineKafka looks at the brokers, and at the topics that status knows of.
func examineKafka(ctx context.Context, o *relayOptions, known live) []admin.Finding {
	wrong := func(code string, err error, why, remedy string) admin.Finding {
		return admin.Finding{Code: code, Severity: admin.Wrong, Problem: oneLine(err), Why: why, Remedy: remedy}
	}
	config := o.kafka.config()
	config.Source, config.Logger, config.BatchBytes = "/tandem/doctor", slog.New(slog.DiscardHandler), o.batchBytes
	publisher, err := relaykafka.New(config)
	if err != nil {
		return []admin.Finding{wrong(advice.Brokers, err, "nothing can be published", "mend the settings of Kafka")}
	}
	defer publisher.Close()
	if err := publisher.Check(ctx); err != nil {
		return []admin.Finding{wrong(advice.Brokers, err, "nothing can be published", "check --kafka-brokers, and that they run")}
	}
	var found []admin.Finding
	for _, t := range known.Topics {
		topic, err := publisher.Describe(ctx, t.Topic)
		var refused *relay.PublishError
		switch {
		case errors.As(err, &refused):
			found = append(found, wrong(advice.Topic, refused.Err, "its events cannot be published", refused.Hint))
		case err != nil:
			found = append(found, wrong(advice.Topic, err, "its events cannot be published", "see whether the brokers are well"))
		default:
			found = append(found, topicFindings(t.Topic, topic, known.maxEventBytes, known.Schema)...)
		}
	}
	return found
}

func topicFindings(name string, t relaykafka.Topic, maxEventBytes int, schema string) (found []admin.Finding) {
	add := func(code string, severity admin.Severity, problem, why, remedy string) {
		found = append(found, admin.Finding{Code: code, Severity: severity, Problem: problem, Why: why, Remedy: remedy})
	}
	if !t.MayWrite {
		add(advice.TopicForbidden, admin.Wrong, fmt.Sprintf("the relay may not write to topic %q", name), "its events cannot be published", "allow it: kafka-acls --add --producer --topic "+name+" …")
	}
	if len(t.Leaderless) > 0 {
		add(advice.TopicLeaderless, admin.Wrong, fmt.Sprintf("topic %q has partitions without a leader: %v", name, t.Leaderless), "their events wait", "see which brokers are down")
	}
	if t.MaxMessageBytes > 0 && maxEventBytes > 0 && t.MaxMessageBytes < maxEventBytes+envelope {
		add(advice.TopicLimit, admin.Doubtful, fmt.Sprintf("topic %q takes records of up to %d bytes, events may have %d", name, t.MaxMessageBytes, maxEventBytes),
			"a larger event would be refused by Kafka, long after it was written, and parked",
			fmt.Sprintf("raise the topic's max.message.bytes to %d, or UPDATE %s.settings SET max_event_bytes = %d", maxEventBytes+envelope, schema, max(1, t.MaxMessageBytes-envelope)))
	}
	return found
}
