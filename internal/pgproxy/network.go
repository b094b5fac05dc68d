//go:build unix

package pgproxy

import "syscall"

// The kernel keeps megabytes for a connection within one host, and would take a
// whole page off the server's hands though the client does not read it. Between
// hosts it keeps much less, because the segments are small.
const (
	buffer  = 16 << 10 // bytes
	segment = 1460     // bytes
)

// likeANetwork prepares the socket of a connection to the server.
func likeANetwork(_, _ string, socket syscall.RawConn) error {
	var failed error
	err := socket.Control(func(fd uintptr) {
		if failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, segment); failed == nil {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer)
		}
	})
	if err != nil {
		return err
	}
	return failed
}
