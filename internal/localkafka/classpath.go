package localkafka

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

// mavenTimeout bounds the resolution, the download of some 45 MB included.
const mavenTimeout = 5 * time.Minute

// pomPath is where the dependencies of a broker stand in this module.
var pomPath = filepath.Join("integration", "kafka", "pom.xml")

// classPath returns Kafka's class path, resolved by the first process that
// needs it.
func classPath(ctx context.Context) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	pom := filepath.Join(root, pomPath)
	content, err := os.ReadFile(pom)
	if err != nil {
		return "", err
	}
	cache, err := localproc.CacheDir()
	if err != nil {
		return "", err
	}
	file := filepath.Join(cache, fmt.Sprintf("kafka-%x.classpath", sha256.Sum256(content)))
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
		if _, err := os.Stat(jar); err != nil {
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
	ctx, cancel := context.WithTimeoutCause(ctx, mavenTimeout, fmt.Errorf("gave up after %s", mavenTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, maven, "--quiet", "--batch-mode", "--no-transfer-progress",
		"--file", pom, "dependency:build-classpath", "-Dmdep.outputFile="+file)
	localproc.Prepare(cmd, nil)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("maven could not resolve Kafka from %s: %w\n%s", pom, errors.Join(err, context.Cause(ctx)), firstLines(out, 10))
	}
	return nil
}

func firstLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[:min(n, len(lines))], "\n")
}

// moduleRoot finds this module's source, from the directory that tests run in
// upwards.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, pomPath)); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("found no %s in %s or above; run inside the module's source", pomPath, start)
		}
	}
}
