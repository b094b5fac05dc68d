package maven

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tandem-outbox/tandem/internal/localproc"
)

// resolveTimeout bounds the resolution, a download of some 45 MB included.
const resolveTimeout = 5 * time.Minute

// ClassPath returns the class path of the dependencies that stand in a pom.xml of
// this module, given by its path from the module's root. The name is what the
// remembered class path is called by.
func ClassPath(ctx context.Context, name string, path ...string) (string, error) {
	pom, err := find(filepath.Join(path...))
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(pom)
	if err != nil {
		return "", err
	}
	cache, err := localproc.CacheDir()
	if err != nil {
		return "", err
	}
	file := filepath.Join(cache, fmt.Sprintf("%s-%x.classpath", name, sha256.Sum256(content)))
	var found string
	err = localproc.Exclusively(file+".lock", func() error {
		if found = remembered(file); found != "" {
			return nil
		}
		if err := resolve(ctx, pom, file); err != nil {
			return err
		}
		if found = remembered(file); found == "" {
			return fmt.Errorf("maven wrote no usable class path to %s", file)
		}
		return nil
	})
	return found, err
}

// remembered reads a class path; it is no use once a jar of it was deleted.
func remembered(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	path := strings.TrimSpace(string(content))
	for _, jar := range filepath.SplitList(path) {
		if !exists(jar) {
			return ""
		}
	}
	return path
}

func resolve(ctx context.Context, pom, file string) error {
	maven, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("apache Maven (mvn) is not installed: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, resolveTimeout, fmt.Errorf("gave up after %s", resolveTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, maven, "--quiet", "--batch-mode", "--no-transfer-progress",
		"--file", pom, "dependency:build-classpath", "-Dmdep.outputFile="+file)
	localproc.Prepare(cmd, nil)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("maven could not resolve %s: %w\n%s", pom, errors.Join(err, context.Cause(ctx)), firstLines(out, 10))
	}
	return nil
}

func firstLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[:min(n, len(lines))], "\n")
}

// find looks for a file of this module, from the directory that tests run in
// upwards.
func find(path string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		if file := filepath.Join(dir, path); exists(file) {
			return file, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("found no %s in %s or above; run inside the module's source", path, start)
		}
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
