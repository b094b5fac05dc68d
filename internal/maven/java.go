package maven

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// Java returns the program of a Java that has at least the given major version:
// that of JAVA_HOME, else that of PATH.
func Java(ctx context.Context, oldest int) (string, error) {
	program := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		program = filepath.Join(home, "bin", "java")
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("java is not installed: %w", err)
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	match := javaVersion.FindSubmatch(out)
	if match == nil {
		return "", fmt.Errorf("%s -version does not say a version: %q", path, firstLines(out, 1))
	}
	if major, err := strconv.Atoi(string(match[1])); err != nil || major < oldest {
		return "", fmt.Errorf("%s is Java %s, older than %d", path, match[1], oldest)
	}
	return path, nil
}
