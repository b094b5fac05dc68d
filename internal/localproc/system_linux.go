package localproc

import (
	"cmp"
	"syscall"
)

func attributes(user *User, onParentDeath syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: cmp.Or(onParentDeath, syscall.SIGKILL)}
	if user != nil {
		attr.Credential = user.credential()
	}
	return attr
}
