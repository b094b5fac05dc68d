//go:build unix && !linux

package localproc

import "syscall"

func attributes(user *User, _ syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if user != nil {
		attr.Credential = user.credential()
	}
	return attr
}
