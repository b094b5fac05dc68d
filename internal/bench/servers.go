package bench

import (
	"bytes"
	"context"
	"net"

	"github.com/tandem-outbox/tandem/internal/processes"
)

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
	pid := processes.Listener(port)
	if bytes.Contains(processes.CommandLine(pid), []byte("kafka")) { // and is not a container's proxy
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
	if !bytes.Contains(processes.CommandLine(pid), []byte(s.name)) {
		return 0
	}
	return processes.Parent(pid)
}
