package bench

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is one of this machine, by what the system tells of it.
type process struct {
	pid, parent   int
	own, children time.Duration // CPU; that of children that have ended
}

// userHZ is what the system counts CPU in, whatever its own clock.
const userHZ = 100

func readProcess(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// The name in brackets may have anything in it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 15 {
		return process{}, fmt.Errorf("/proc/%d/stat cannot be read", pid)
	}
	number := func(i int) int64 { n, _ := strconv.ParseInt(fields[i], 10, 64); return n }
	ticks := func(i int) time.Duration { return time.Duration(number(i)+number(i+1)) * time.Second / userHZ }
	return process{pid: pid, parent: int(number(1)), own: ticks(11), children: ticks(13)}, nil
}

// treeCPU is what a process and its children have used, also those that ended.
func treeCPU(pid int) time.Duration {
	root, err := readProcess(pid)
	if err != nil {
		return 0
	}
	sum := root.own + root.children
	for _, other := range allProcesses() {
		if p, err := readProcess(other); err == nil && p.parent == pid {
			sum += p.own + p.children
		}
	}
	return sum
}

func allProcesses() []int {
	entries, _ := os.ReadDir("/proc")
	var all []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// findServers finds the servers' processes where they run on this machine and
// show themselves.
func (s *Site) findServers(ctx context.Context) map[string]int {
	found := map[string]int{}
	if pid := s.findPostgres(ctx); pid > 0 {
		found["postgres"] = pid
	}
	if len(s.servers.Kafka.Brokers) != 1 {
		return found
	}
	host, port, _ := net.SplitHostPort(s.servers.Kafka.Brokers[0])
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return found
	}
	pid := findListener(port)
	if bytes.Contains(commandLine(pid), []byte("kafka")) { // and is not a container's proxy
		found["kafka"] = pid
	}
	return found
}

// findPostgres goes by the title of a backend's process, which has the name of
// our database in it; its parent is the server.
func (s *Site) findPostgres(ctx context.Context) int {
	conn, err := s.connect(ctx, s.database)
	if err != nil {
		return 0
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var pid int
	if conn.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&pid) != nil {
		return 0
	}
	backend, err := readProcess(pid)
	if err != nil || !bytes.Contains(commandLine(pid), []byte(s.name)) {
		return 0
	}
	return backend.parent
}

func commandLine(pid int) []byte {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return line
}

// findListener is who listens on a port, 0 where that is not to be seen.
func findListener(port string) int {
	n, _ := strconv.Atoi(port)
	suffix := ":" + strings.ToUpper(hex.EncodeToString([]byte{byte(n >> 8), byte(n)}))
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		lines, _ := os.ReadFile(table)
		for line := range strings.Lines(string(lines)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], suffix) {
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	for _, pid := range allProcesses() {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, file := range files {
			if target, err := os.Readlink(file); err == nil && sockets[target] {
				return pid
			}
		}
	}
	return 0
}
