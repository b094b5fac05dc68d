package localkafka

import (
	"fmt"
	"slices"
	"strings"
)

// properties returns server.properties of a node on the two ports.
func properties(port, controllerPort int, data string, extra map[string]string) string {
	all := map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        fmt.Sprint(nodeID),
		"controller.quorum.voters":       fmt.Sprintf("%d@127.0.0.1:%d", nodeID, controllerPort),
		"listeners":                      fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", port, controllerPort),
		"advertised.listeners":           fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", port),
		"controller.listener.names":      "CONTROLLER",
		"inter.broker.listener.name":     "PLAINTEXT",
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                       data,

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
		"log.retention.check.interval.ms":                  "300000",
		// After a crash the controller waits until the dead broker's session has
		// run out before it lets the new one in; the default is 9 s.
		"broker.session.timeout.ms":    "3000",
		"broker.heartbeat.interval.ms": "500",
	}
	for name, value := range extra {
		all[name] = value
	}
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
