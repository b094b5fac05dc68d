//go:build unix

package localproc

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

func (u *User) credential() *syscall.Credential {
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, NoSetGroups: false}
}

func signalProcess(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	} else if err != nil {
		return err
	}
	return nil
}

func killGroup(pid int) {
	// The group is the program's own (Setpgid), so nobody else is hit. The
	// program itself is signalled too, in case it left the group.
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// Prepare makes an exec.Cmd that will be waited for by its own caller run as
// the given user (nil: ourselves), in its own process group, and die with us.
func Prepare(cmd *exec.Cmd, user *User) {
	cmd.SysProcAttr = attributes(user, syscall.SIGKILL)
}

// SignalGroup signals a program started with Prepare, and its children.
func SignalGroup(pid int, sig syscall.Signal) error { return syscall.Kill(-pid, sig) }

// lockFile takes an exclusive lock; wait says whether to wait for another
// holder. The lock ends when the file is closed, by us or by our death.
func lockFile(f *os.File, wait bool) error {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
