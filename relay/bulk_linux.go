package relay

import "syscall"

func setLowWater(fd uintptr, bytes int) error {
	return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes)
}

func readFD(fd uintptr, b []byte) (int, error) { return syscall.Read(int(fd), b) }
