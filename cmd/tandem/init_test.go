package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

// initialised is a directory in which "tandem init" has written, and what it said.
func initialised(t *testing.T, stack string) (dir, said string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "tandem")
	r := tandem(t, nil, "init", "--stack", stack, "--dir", dir)
	require.Equal(t, exitDone, r.code, r.stderr)
	return dir, r.stdout
}

func written(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[path] = string(content)
		return err
	}))
	return files
}

func TestInitSaysWhatItWroteAndWhatIsNext(t *testing.T) {
	t.Parallel()
	for _, s := range stacks {
		dir, said := initialised(t, s.name)
		files := written(t, dir)
		require.Len(t, files, 3)
		for path := range files {
			require.Contains(t, said, "wrote "+path+": ")
		}
		require.NotRegexp(t, `DIR|PACKAGE`, said)
		for line := range strings.Lines(said) {
			for _, args := range calls(line) {
				if strings.HasPrefix(line, "  tandem ") {
					requireTaken(t, line, args)
				}
			}
		}
		// What runs outside of Docker finds the compose file's servers without being told.
		const outside, inside = "postgres://postgres:tandem@localhost:5432/shop", "postgres://postgres:tandem@postgres:5432/shop"
		require.Contains(t, files[filepath.Join(dir, "tandem.yaml")], "database-url: "+outside)
		require.Contains(t, files[filepath.Join(dir, "compose.yaml")], inside)
		require.Contains(t, files[filepath.Join(dir, s.to)]+said, outside)
		r := tandem(t, nil, "config", "check", "--config", filepath.Join(dir, "tandem.yaml"))
		require.Equal(t, exitDone, r.code, r.stderr)
	}
}

func TestInitWritesOverNothingUnlessItIsForced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine := filepath.Join(dir, "example.sql")
	require.NoError(t, os.WriteFile(mine, []byte("mine"), 0o600))
	r := tandem(t, nil, "init", "--stack", "sql", "--dir", dir)
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Contains(t, r.stdout, "left  "+mine+": it is there already\n")
	require.Len(t, written(t, dir), 3)
	require.Equal(t, "mine", written(t, dir)[mine])
	tandem(t, nil, "init", "--stack", "sql", "--dir", dir).oneLineOf(t, "nothing was written", "--force", "--dir")

	r = tandem(t, nil, "init", "--stack", "sql", "--dir", dir, "--force")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Len(t, written(t, dir), 3)
	require.NotEqual(t, "mine", written(t, dir)[mine])

	tandem(t, nil, "init", "--dir", mine).oneLineOf(t, mine, "not a directory", "--dir")
	tandem(t, nil, "init", "--dir", "../..").oneLineOf(t, "a clone of Tandem itself", "--dir")
	require.NoFileExists(t, "../../tandem.yaml")
}

// A variable that names the file which the command is to write does not stop it.
func TestInitDoesNotReadTheFileThatItWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	environment := []string{"TANDEM_CONFIG=" + filepath.Join(dir, "tandem.yaml")}
	for _, args := range [][]string{{"init", "--stack", "sql", "--dir", dir}, {"config", "sample"}, {"version"}} {
		r := tandem(t, environment, args...)
		require.Equal(t, exitDone, r.code, r.stderr)
	}
}

func TestInitLooksAtTheDirectoryItIsRunIn(t *testing.T) {
	t.Parallel()
	for marker, example := range map[string]string{"go.mod": "tandem/example/main.go", "pyproject.toml": "tandem/example.py", "README": "tandem/example.sql"} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, marker), nil, 0o600))
		self, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), self, "init")
		cmd.Dir, cmd.Env = dir, []string{asProgram + "=1"}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "wrote "+example+": ")
		require.FileExists(t, filepath.Join(dir, example))
		require.NotContains(t, string(out), "go mod init")
	}
	_, said := initialised(t, "go-sql") // in this package's directory, without a go.mod
	require.Contains(t, said, "  go mod init example.com/shop")
}

// The Go examples are built in a module of a user's, with this repository in place of
// the published one, and run: an order is placed, relayed, and charged.
func TestTheGoExamplesOfInitRun(t *testing.T) {
	t.Parallel()
	module := t.TempDir()
	// The module of the ORMs requires all that the examples do, in versions that are tested.
	orms, err := filepath.Glob(filepath.Join("..", "..", "*", "orm"))
	require.NoError(t, err)
	require.Len(t, orms, 1)
	requirements, err := os.ReadFile(filepath.Join(orms[0], "go.mod"))
	require.NoError(t, err)
	sums, err := os.ReadFile(filepath.Join(orms[0], "go.sum"))
	require.NoError(t, err)
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	text := regexp.MustCompile(`(?m)^module .*$`).ReplaceAllString(string(requirements), "module example.com/shop")
	require.NoError(t, os.WriteFile(filepath.Join(module, "go.mod"), []byte(strings.Replace(text, "=> ../..", "=> "+root, 1)), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(module, "go.sum"), sums, 0o600))
	var names []string
	for _, s := range stacks {
		if !strings.HasSuffix(s.to, ".go") {
			continue
		}
		names = append(names, s.name)
		r := tandem(t, nil, "init", "--stack", s.name, "--dir", filepath.Join(module, s.name))
		require.Equal(t, exitDone, r.code, r.stderr)
	}
	inModule := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = module
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "go %q: %s", args, out)
	}
	inModule("vet", "-mod=mod", "./...")
	require.Len(t, names, 4)
	for _, name := range names {
		inModule("build", "-mod=mod", "-o", filepath.Join(module, "bin", name), "./"+name+"/example")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database, kafka := testservers.Migrated(t), broker(t)
			start(t, environment(database, kafka), "relay")
			example := exec.CommandContext(t.Context(), filepath.Join(module, "bin", name))
			stdout, stderr := newOutput(), newOutput()
			example.Stdout, example.Stderr = stdout, stderr
			example.Env = []string{"DATABASE_URL=" + database, "KAFKA_BROKERS=" + kafka}
			require.NoError(t, example.Start())
			placed := regexp.MustCompile(`placed (\S+)`).FindStringSubmatch(stdout.await(t, "charging "))
			require.NoError(t, example.Process.Signal(syscall.SIGINT))
			require.NoError(t, example.Wait(), stderr)
			require.Contains(t, stdout.String(), "charging "+placed[1])
		})
	}
}

func TestTheSQLExampleOfInitRuns(t *testing.T) {
	t.Parallel()
	dir, _ := initialised(t, "sql")
	script, err := os.ReadFile(filepath.Join(dir, "example.sql"))
	require.NoError(t, err)
	database := testservers.Migrated(t)
	conn := connect(t, database)
	for range 2 {
		results, err := conn.PgConn().Exec(t.Context(), string(script)).ReadAll()
		require.NoError(t, err)
		require.Equal(t, "1", string(results[len(results)-1].Rows[0][0]), "one charge")
	}
	require.EqualValues(t, 2, query[int64](t, database, `SELECT count(*) FROM tandem.log WHERE key = (SELECT id FROM orders WHERE id = log.key) AND type = 'order.placed'`))
}

// Without psycopg Python can only compile it; its statements are run here, with
// parameters as psycopg binds them: texts whose type PostgreSQL finds out.
func TestThePythonExampleOfInit(t *testing.T) {
	t.Parallel()
	found(t, "python3")
	dir, _ := initialised(t, "python")
	script := filepath.Join(dir, "example.py")
	out, err := exec.CommandContext(t.Context(), "python3", "-m", "py_compile", script).CombinedOutput()
	require.NoError(t, err, "%s", out)

	source, err := os.ReadFile(script)
	require.NoError(t, err)
	conn := connect(t, testservers.Migrated(t))
	parameters := [][]string{nil, nil, {"o-1", "4200"}, {`{"id": "o-1"}`, "o-1"}, {"m-1"}, {"o-1", "4200"}}
	statements := regexp.MustCompile(`"((?:CREATE|INSERT|SELECT) [^"]+)"`).FindAllStringSubmatch(string(source), -1)
	require.Len(t, statements, len(parameters))
	order := []int{4, 5, 0, 1, 2, 3} // the tables are made in main, at the end
	for i, n := range order {
		text := statements[n][1]
		for p := 1; strings.Contains(text, "%s"); p++ {
			text = strings.Replace(text, "%s", "$"+string(rune('0'+p)), 1)
		}
		var values [][]byte
		for _, v := range parameters[i] {
			values = append(values, []byte(v))
		}
		_, err := conn.PgConn().ExecParams(t.Context(), text, values, nil, nil, nil).Close()
		require.NoError(t, err, text)
	}
}
