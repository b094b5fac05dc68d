package neighbours_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/maven"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

const oldestJava = 17

// java runs a program of Kafka's.
func java(t *testing.T, input, class string, arguments ...string) string {
	t.Helper()
	program, err := maven.Java(t.Context(), oldestJava)
	var classPath string
	if err == nil {
		classPath, err = maven.ClassPath(t.Context(), "kafka-tools", "integration", "neighbours", "pom.xml")
	}
	if err != nil {
		testservers.Missing(t, "Java", fmt.Errorf("%w; install Java %d or newer and Maven (Debian and Ubuntu: apt-get install default-jre-headless maven)", err, oldestJava))
	}
	return run(t, input, program, append([]string{"-Xmx256m", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", classPath, class}, arguments...)...)
}

// consumeByJava prints the records of a topic: partition, headers, key, value.
func consumeByJava(t *testing.T, brokers []string, topic string) [][]string {
	t.Helper()
	n := int64(0)
	for _, end := range ends(t, brokers, topic) {
		n += end
	}
	out := java(t, "", "org.apache.kafka.tools.consumer.ConsoleConsumer",
		"--bootstrap-server", brokers[0], "--topic", topic, "--from-beginning", "--max-messages", fmt.Sprint(n), "--timeout-ms", fmt.Sprint(limit.Milliseconds()),
		"--property", "print.partition=true", "--property", "print.headers=true", "--property", "print.key=true", "--property", "headers.separator=,")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, lines, int(n))
	var records [][]string
	for _, line := range lines {
		fields := strings.Split(line, "\t")
		require.Len(t, fields, 4, line)
		records = append(records, fields)
	}
	return records
}

// Kafka's console consumer prints our records, which are in the partitions that its
// console producer chooses for their keys.
func TestJavaReadsOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := w.addOrders(100)
	w.relay()
	got := map[string]order{}   // by id: the relay may repeat itself
	ours := map[string]string{} // partitions by key
	for _, fields := range consumeByJava(t, w.brokers, w.topic) {
		o := readOrder(t, fields[1], ":", fields[2], fields[3])
		got[o.id] = o
		ours[fields[2]] = fields[0]
	}
	require.ElementsMatch(t, want, slices.Collect(maps.Values(got)))

	theirs := map[string]string{}
	topic := testservers.Topic(t, partitions)
	var input strings.Builder
	for _, o := range want {
		input.WriteString(o.key + "\t" + o.value + "\n")
	}
	java(t, input.String(), "org.apache.kafka.tools.ConsoleProducer",
		"--bootstrap-server", w.brokers[0], "--topic", topic, "--property", "parse.key=true")
	for _, fields := range consumeByJava(t, w.brokers, topic) {
		theirs[fields[2]] = fields[0]
	}
	require.Equal(t, theirs, ours)
	used := map[string]bool{}
	for _, partition := range ours {
		used[partition] = true
	}
	require.Len(t, used, partitions, "keys in every partition")
}

// The programs are those of the broker's version.
func TestKafkaVersion(t *testing.T) {
	t.Parallel()
	pom, err := os.ReadFile("pom.xml")
	require.NoError(t, err)
	_, version, _ := strings.Cut(testservers.KafkaImage, ":")
	require.Contains(t, string(pom), "<kafka.version>"+version+"</kafka.version>")
}
