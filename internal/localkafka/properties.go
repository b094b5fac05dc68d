package localkafka

import (
	"fmt"
	"slices"
	"strings"
)

// SingleNode returns the settings of a node that is alone: what clients are told
// of it, and where it listens for them and for itself as its own controller.
// Where its data are is the caller's to add.
func SingleNode(advertised, listener, controller string) map[string]string {
	return map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        fmt.Sprint(nodeID),
		"controller.quorum.voters":       fmt.Sprintf("%d@%s", nodeID, controller),
		"listeners":                      fmt.Sprintf("PLAINTEXT://%s,CONTROLLER://%s", listener, controller),
		"advertised.listeners":           fmt.Sprintf("PLAINTEXT://%s", advertised),
		"controller.listener.names":      "CONTROLLER",
		"inter.broker.listener.name":     "PLAINTEXT",
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",

		// One node holds every replica there is.
		"default.replication.factor":                       "1",
		"min.insync.replicas":                              "1",
		"offsets.topic.replication.factor":                 "1",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"offsets.topic.num.partitions":                     "4",
		"transaction.state.log.num.partitions":             "4",
		"share.coordinator.state.topic.num.partitions":     "4",
		"auto.create.topics.enable":                        "false",
		"group.initial.rebalance.delay.ms":                 "0",

		// After a crash the controller waits until the dead broker's session has
		// run out before it lets the new one in; the default is 9 s.
		"broker.session.timeout.ms":    "3000",
		"broker.heartbeat.interval.ms": "500",
	}
}

// properties writes settings as server.properties.
func properties(all map[string]string) string {
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s=%s\n", name, strings.ReplaceAll(all[name], `\`, `\\`))
	}
	return b.String()
}
