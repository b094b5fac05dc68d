package localproc

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// User is who a program runs as.
type User struct{ UID, GID uint32 }

// Unprivileged returns who a server that refuses root is to run as: nil (we
// ourselves) unless we are root, else the system's "nobody".
func Unprivileged() *User {
	if os.Geteuid() != 0 {
		return nil
	}
	const overflow = 65534 // nobody's number where it has no entry
	nobody := &User{UID: overflow, GID: overflow}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nobody
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if errUID != nil || errGID != nil || uid == 0 {
		return nobody
	}
	return &User{UID: uint32(uid), GID: uint32(gid)}
}

// Own gives a directory and all that is in it to the user.
func (u *User) Own(dir string) error {
	if u == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(u.UID), int(u.GID))
	})
}

// CanReach says why the user could not get at the directory, naming the parent
// that is in the way.
func (u *User) CanReach(dir string) error {
	if u == nil {
		return nil
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("%s is closed to the unprivileged user %d that the server runs as; "+
				"use a directory below one that everybody may pass (mode 0711 or wider), such as /tmp", parent, u.UID)
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}
