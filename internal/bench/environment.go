package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go"
)

// EnvironmentOf looks at machine and servers. Version is Tandem's.
func EnvironmentOf(ctx context.Context, s *Site, version string) (Environment, error) {
	e := Environment{
		Tandem: version, Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH,
		CPU: firstField("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Settings: map[string]string{},
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		e.OS += " " + strings.TrimSpace(string(release))
	}
	kilobytes, _, _ := strings.Cut(firstField("/proc/meminfo", "MemTotal"), " ")
	memory, _ := strconv.ParseInt(kilobytes, 10, 64)
	e.Memory = memory << 10
	if err := e.lookAtPostgres(ctx, s); err != nil {
		return e, fmt.Errorf("look at PostgreSQL: %w", err)
	}
	if s.hasKafka() {
		if err := e.lookAtKafka(ctx, s); err != nil {
			return e, fmt.Errorf("look at Kafka: %w", err)
		}
	}
	return e, nil
}

// firstField is the value of the first line "name : value" of a file, "" where
// there is none.
func firstField(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if before, after, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(before) == name {
			return strings.TrimSpace(after)
		}
	}
	return ""
}

// flattering are settings that make figures better than they are where nothing
// may be lost.
var flattering = map[string]string{
	"fsync": "a crash of the machine loses what was committed", "full_page_writes": "a crash of the machine may break tables",
	"synchronous_commit": "a crash of the server loses what was committed",
}

func (e *Environment) lookAtPostgres(ctx context.Context, s *Site) error {
	conn, err := s.connect(ctx, s.database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY($1) ORDER BY name`, []string{
		"server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_level", "wal_compression", "wal_sync_method",
		"shared_buffers", "max_wal_size", "checkpoint_timeout", "wal_buffers", "commit_delay", "synchronous_standby_names", "io_method", "jit",
	})
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return err
		}
		if name == "server_version" {
			e.Postgres = value
			continue
		}
		e.Settings[name] = value
		if why := flattering[name]; why != "" && value == "off" {
			e.Warnings = append(e.Warnings, fmt.Sprintf("PostgreSQL runs with %s = off: %s", name, why))
		}
	}
	return rows.Err()
}

// What of Kafka's APIs tells its age, roughly.
var telling = map[string]bool{"Produce": true, "Fetch": true, "Metadata": true}

func (e *Environment) lookAtKafka(ctx context.Context, s *Site) error {
	topic, err := s.topic(ctx, "look", 1)
	if err != nil {
		return err
	}
	versions, err := s.client.ApiVersions(ctx, &kafka.ApiVersionsRequest{Addr: s.client.Addr})
	if err != nil {
		return err
	}
	var apis []string
	for _, key := range versions.ApiKeys {
		if telling[key.ApiName] {
			apis = append(apis, fmt.Sprintf("%s v%d", key.ApiName, key.MaxVersion))
		}
	}
	cluster, err := s.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	e.Kafka = fmt.Sprintf("brokers: %d (%s)", len(cluster.Brokers), strings.Join(apis, ", "))
	for _, t := range cluster.Topics {
		for _, p := range t.Partitions {
			e.Settings["topic.replication.factor"] = strconv.Itoa(len(p.Replicas))
			if len(p.Replicas) < 2 {
				e.Warnings = append(e.Warnings, "topics have one replica: acks=all waits for one broker")
			}
		}
	}
	e.topicConfig(ctx, s, topic)
	return nil
}

// topicConfig leaves out what the brokers do not let us see.
func (e *Environment) topicConfig(ctx context.Context, s *Site, topic string) {
	told, err := s.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		ConfigNames: []string{"min.insync.replicas", "flush.messages", "compression.type", "message.timestamp.type", "max.message.bytes"},
	}}})
	if err != nil {
		return
	}
	for _, resource := range told.Resources {
		for _, entry := range resource.ConfigEntries {
			if resource.Error == nil {
				e.Settings["topic."+entry.ConfigName] = entry.ConfigValue
			}
		}
	}
}
