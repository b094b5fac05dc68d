package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// ticks is the unit of CPU times in /proc, a hundredth of a second everywhere.
	ticks = 100
	// listening is the state of a socket in /proc/net/tcp.
	listening = "0A"
)

// stat is what /proc tells of a process.
type stat struct {
	parent      int
	own, reaped float64 // CPU seconds: its own, and of ended children that were waited for
}

func statOf(pid int) (stat, bool) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, false
	}
	// The name, in brackets, may have spaces and brackets of its own.
	fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
	if len(fields) < 15 {
		return stat{}, false
	}
	number := func(i int) float64 {
		n, _ := strconv.ParseFloat(fields[i], 64) // always a number
		return n
	}
	return stat{parent: int(number(1)), own: (number(11) + number(12)) / ticks, reaped: (number(13) + number(14)) / ticks}, true
}

// cpuOf is what a process has spent, in seconds.
func cpuOf(pid int) float64 {
	s, _ := statOf(pid)
	return s.own
}

// cpuOfTree is what a process and all below it have spent.
func cpuOfTree(root int) float64 {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	children, all := map[int][]int{}, map[int]stat{}
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if s, ok := statOf(pid); ok {
			all[pid] = s
			children[s.parent] = append(children[s.parent], pid)
		}
	}
	sum := 0.0
	for next := []int{root}; len(next) > 0; next = next[1:] {
		sum += all[next[0]].own + all[next[0]].reaped
		next = append(next, children[next[0]]...)
	}
	return sum
}

// peakOf is the most memory that a process had, in bytes. It is not taken from its
// rusage: there it begins with the memory of the process that started it.
func peakOf(pid int) int64 {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n * 1024
		}
	}
	return 0
}

// listener is the process that listens on an address of this machine, the first
// of its family, or 0.
func listener(address string) int {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
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
		if s, _ := statOf(pid); !holders[s.parent] {
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
