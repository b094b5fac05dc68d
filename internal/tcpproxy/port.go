//go:build unix

package tcpproxy

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// port is one of 127.0.0.1 that stays ours while nobody listens there: a socket
// that is bound to it, and never listens. So a client is refused, and no other
// process is given the port in the meantime.
type port struct {
	socket  int
	address string
}

func takePort() (*port, error) {
	syscall.ForkLock.RLock() // a child would keep the port
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(socket)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	p := &port{socket: socket}
	if p.address, err = bind(socket); err != nil {
		p.giveBack()
		return nil, err
	}
	return p, nil
}

func bind(socket int) (address string, err error) {
	// The listener that comes to the same port has this option too: Go sets it.
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return "", os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(socket)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	local, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return "", fmt.Errorf("the socket's name is a %T", name)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(local.Port)), nil
}

func (p *port) giveBack() { _ = syscall.Close(p.socket) }
