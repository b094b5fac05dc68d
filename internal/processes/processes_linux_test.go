package processes_test

import (
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/processes"
)

func TestThisProcess(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	me := os.Getpid()
	require.Equal(t, me, processes.Listener(port))
	require.Equal(t, os.Getppid(), processes.Parent(me))
	require.Contains(t, string(processes.CommandLine(me)), os.Args[0])
	require.Greater(t, processes.PeakMemory(me), int64(1<<20))
	own := processes.CPU(me) // which grows until the tree is asked
	require.GreaterOrEqual(t, processes.TreeCPU(me), own)
	require.Zero(t, processes.TreeCPU(-1))
}
