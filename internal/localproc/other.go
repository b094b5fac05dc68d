//go:build !unix

package localproc

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// These servers are for Linux and macOS. The package compiles elsewhere so that
// programs that can also use servers of the user's own do.
var errUnsupported = errors.New("starting servers on this operating system is not supported; " +
	"run PostgreSQL and Kafka yourself and give their addresses")

func attributes(*User, syscall.Signal) *syscall.SysProcAttr { return nil }

func signalProcess(pid int, _ syscall.Signal) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

func killGroup(pid int) { _ = signalProcess(pid, syscall.SIGKILL) }

// Prepare does nothing here.
func Prepare(*exec.Cmd, *User) {}

// SignalGroup ends the program.
func SignalGroup(pid int, sig syscall.Signal) error { return signalProcess(pid, sig) }

func lockFile(*os.File, bool) error { return errUnsupported }
