package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-outbox/tandem/internal/bench"
)

// told are the settings of PostgreSQL that matter to the figures.
var told = []string{"fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers", "max_wal_size", "wal_compression", "autovacuum"}

// environment says where the figures were measured.
func environment(ctx context.Context, s *servers) (bench.Environment, error) {
	e := bench.Environment{Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Settings: map[string]string{}}
	e.CPU, e.Memory = machine()
	version, err := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty").Output()
	if err == nil {
		e.Tandem = strings.TrimSpace(string(version))
	}
	conn, err := pgx.Connect(ctx, s.database)
	if err != nil {
		return e, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := conn.QueryRow(ctx, `SHOW server_version`).Scan(&e.Postgres); err != nil {
		return e, err
	}
	for _, name := range told {
		var value string
		if err := conn.QueryRow(ctx, `SELECT current_setting($1)`, name).Scan(&value); err != nil {
			return e, err
		}
		e.Settings[name] = value
	}
	versions, err := s.admin.ApiVersions(ctx)
	if err != nil {
		return e, fmt.Errorf("ask Kafka for its version: %w", err)
	}
	for _, v := range versions {
		e.Kafka = v.VersionGuess()
	}
	e.Settings["topic"] = "6 partitions, 1 replica, no compression"
	return e, nil
}

// machine is the processor's name and the memory in bytes, where /proc tells.
func machine() (cpu string, memory int64) {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok && cpu == "" {
			cpu = strings.TrimLeft(strings.TrimSpace(name), ": ")
		}
	}
	info, _ = os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(info)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			memory = n * 1024
		}
	}
	return cpu, memory
}
