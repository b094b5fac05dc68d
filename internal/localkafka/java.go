package localkafka

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// oldestJava is what the brokers of Kafka 4 need.
const oldestJava = 17

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// java returns the program of a Java that is new enough: that of JAVA_HOME,
// else that of PATH.
func java(ctx context.Context) (string, error) {
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
	if major, err := strconv.Atoi(string(match[1])); err != nil || major < oldestJava {
		return "", fmt.Errorf("%s is Java %s, older than %d", path, match[1], oldestJava)
	}
	return path, nil
}
