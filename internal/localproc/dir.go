package localproc

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const lockSuffix = ".lock"

// Dir is a temporary directory that belongs to this process.
type Dir struct {
	Path string
	lock *os.File
}

// MakeDir makes a directory whose name begins with prefix, below parent
// ("" means the system's temporary directory), and removes those of the same
// prefix whose owner was killed.
func MakeDir(parent, prefix string) (*Dir, error) {
	parent = cmp.Or(parent, os.TempDir())
	removeAbandoned(parent, prefix)
	lock, err := os.CreateTemp(parent, prefix+"*"+lockSuffix)
	if err != nil {
		return nil, fmt.Errorf("make a directory for a server: %w", err)
	}
	d := &Dir{Path: strings.TrimSuffix(lock.Name(), lockSuffix), lock: lock}
	if err := lockFile(lock, false); err != nil {
		d.Remove()
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if err := os.Mkdir(d.Path, 0o755); err != nil {
		d.Remove()
		return nil, fmt.Errorf("make a directory for a server: %w", err)
	}
	return d, nil
}

// Remove deletes the directory with everything in it.
func (d *Dir) Remove() {
	// Nothing can be done about what the system refuses to delete; the next
	// MakeDir tries again if the lock file stayed.
	if os.RemoveAll(d.Path) == nil {
		_ = os.Remove(d.lock.Name())
	}
	_ = d.lock.Close()
}

// removeAbandoned deletes directories whose lock nobody holds. A lock file
// without its directory is left alone: its owner may be just about to make it.
func removeAbandoned(parent, prefix string) {
	locks, _ := filepath.Glob(filepath.Join(parent, prefix+"*"+lockSuffix))
	for _, name := range locks {
		dir := strings.TrimSuffix(name, lockSuffix)
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		lock, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if lockFile(lock, false) == nil && os.RemoveAll(dir) == nil {
			_ = os.Remove(name)
		}
		_ = lock.Close()
	}
}

// Exclusively runs f while no other process runs it under the same file.
func Exclusively(file string, f func() error) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := lockFile(lock, true); err != nil {
		return fmt.Errorf("lock %s: %w", file, err)
	}
	return f()
}

// CacheDir is where downloaded programs are kept between runs. For root that
// is not the home directory, which unprivileged users cannot pass.
func CacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/tandem", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory (is HOME set?): %w", err)
	}
	return filepath.Join(dir, "tandem"), nil
}
