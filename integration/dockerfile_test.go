package integration_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// instruction is a line of a Dockerfile.
type instruction struct{ name, arguments string }

// stages reads a Dockerfile, just as much of it as ours uses: instructions with
// continued lines, grouped by FROM.
func stages(t *testing.T) [][]instruction {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "Dockerfile"))
	require.NoError(t, err)
	var all [][]instruction
	for _, line := range strings.Split(strings.ReplaceAll(string(content), "\\\n", " "), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, arguments, _ := strings.Cut(line, " ")
		if name == "FROM" {
			all = append(all, nil)
		}
		require.NotEmpty(t, all, "instruction before FROM: %s", line)
		last := len(all) - 1
		all[last] = append(all[last], instruction{name, strings.Join(strings.Fields(arguments), " ")})
	}
	return all
}

// argument returns what the only instruction of that name says.
func argument(t *testing.T, stage []instruction, name string) string {
	t.Helper()
	var found []string
	for _, i := range stage {
		if i.name == name {
			found = append(found, i.arguments)
		}
	}
	require.Len(t, found, 1, "instructions %s", name)
	return found[0]
}

func execForm(t *testing.T, argument string) (words []string) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(argument), &words), argument)
	return words
}

func TestDockerfileBuildsOurPrograms(t *testing.T) {
	t.Parallel()
	all := stages(t)
	require.Len(t, all, 2)
	build, final := all[0], all[1]

	content, err := os.ReadFile(filepath.Join("..", "go.mod"))
	require.NoError(t, err)
	release := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(content)
	require.NotNil(t, release)
	require.Equal(t, "golang:"+string(release[1])+"-alpine AS build", argument(t, build, "FROM"), "the Go version of go.mod")

	require.Equal(t, "VERSION=dev", argument(t, build, "ARG"))
	var compile string
	for _, i := range build {
		if i.name == "RUN" && strings.Contains(i.arguments, "go build") {
			compile = i.arguments
		}
	}
	require.Contains(t, compile, "CGO_ENABLED=0", "the programs must not need a C library")
	require.Contains(t, compile, "-X main.version=${VERSION}")
	require.Contains(t, argument(t, final, "FROM"), "alpine:", "the health check needs wget")
	for _, name := range []string{"tandem", "tandem-demo"} {
		require.Contains(t, compile, "./cmd/"+name)
		require.Contains(t, argument(t, final, "COPY"), "/out/"+name)
	}
	user := argument(t, final, "USER")
	require.NotContains(t, []string{"root", "0", "0:0"}, user)
	require.Equal(t, []string{"tandem"}, execForm(t, argument(t, final, "ENTRYPOINT")))
}

// The version that the Dockerfile and the Makefile stamp must arrive.
func TestVersionIsStamped(t *testing.T) {
	t.Parallel()
	out := runProgram(t, program(t, "tandem"), "version")
	require.Contains(t, out, "stamped")
}
