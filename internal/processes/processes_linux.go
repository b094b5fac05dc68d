package processes

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// userHZ is what the system counts CPU in, whatever its own clock.
	userHZ = 100
	// listening is the state of a socket in /proc/net/tcp.
	listening = "0A"
)

// stat is what /proc tells of a process.
type stat struct {
	parent      int
	own, reaped time.Duration // CPU: its own, and of ended children that were waited for
}

func statOf(pid int) (stat, bool) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, false
	}
	// The name, in brackets, may have anything in it.
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	if len(fields) < 15 {
		return stat{}, false
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(fields[i], 10, 64) // always a number
		return n
	}
	ticks := func(i int) time.Duration { return time.Duration(number(i)+number(i+1)) * time.Second / userHZ }
	return stat{parent: int(number(1)), own: ticks(11), reaped: ticks(13)}, true
}

func all() []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Parent is who started a process.
func Parent(pid int) int {
	s, _ := statOf(pid)
	return s.parent
}

// CommandLine is how a process was started, or what it calls itself.
func CommandLine(pid int) []byte {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return line
}

// CPU is what a process has used, without its children.
func CPU(pid int) time.Duration {
	s, _ := statOf(pid)
	return s.own
}

// TreeCPU is what a process and all below it have used, also those that ended.
func TreeCPU(root int) time.Duration {
	children, stats := map[int][]int{}, map[int]stat{}
	for _, pid := range all() {
		if s, ok := statOf(pid); ok {
			stats[pid] = s
			children[s.parent] = append(children[s.parent], pid)
		}
	}
	var sum time.Duration
	for next := []int{root}; len(next) > 0; next = next[1:] {
		sum += stats[next[0]].own + stats[next[0]].reaped
		next = append(next, children[next[0]]...)
	}
	return sum
}

// PeakMemory is the most that a process had in memory, in bytes. It is not taken from
// its rusage: there it begins with the memory of the process that started it.
func PeakMemory(pid int) int64 {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// Listener is the process that listens on a port of this machine, the first of its
// family.
func Listener(port string) int {
	sockets := socketsOf(port)
	holders := map[int]bool{}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && sockets[target] {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			holders[pid] = true
		}
	}
	for pid := range holders {
		if !holders[Parent(pid)] {
			return pid
		}
	}
	return 0
}

// socketsOf are the sockets that listen on a port, as /proc/*/fd calls them.
func socketsOf(port string) map[string]bool {
	number, _ := strconv.Atoi(port)
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		content, _ := os.ReadFile(table)
		for line := range strings.Lines(string(content)) {
			fields := strings.Fields(line)
			if len(fields) > 9 && fields[3] == listening && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", number)) {
				sockets["socket:["+fields[9]+"]"] = true
			}
		}
	}
	return sockets
}
