package docs_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testprograms"
)

// A story follows one page: it runs the page's blocks one after another, and does
// in between what the page says that somebody does.
type story func(*page)

// stories are those of all pages that have something to run, by the page's path.
var stories = map[string]story{}

// tell registers a page's story:
//
//	var _ = tell("docs/writing.md", func(p *page) { … })
func tell(path string, s story) struct{} {
	if stories[path] != nil {
		panic(path + " has two stories")
	}
	stories[path] = s
	return struct{}{}
}

// TestPages follows every page that has something to run, to its last block.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, path := range pages(t) {
		blocks := runnable(t, path)
		follow := stories[path]
		if follow == nil {
			require.Emptyf(t, blocks, "%s has blocks to run and no story: see tell", path)
			continue
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			p := &page{world: newWorld(t), path: path, blocks: blocks, dir: t.TempDir()}
			p.state = filepath.Join(t.TempDir(), "state")
			require.NoError(t, os.WriteFile(p.state, nil, 0o600))
			follow(p)
			require.Emptyf(t, p.blocks, "blocks of %s that its story did not run", path)
		})
	}
	for path := range stories {
		require.Containsf(t, pages(t), path, "a story without its page")
	}
}

// runnable are the blocks of a page that a story has to run, in their order.
func runnable(t *testing.T, path string) []block {
	t.Helper()
	var those []block
	for _, b := range blocksOf(t, path) {
		if b.language == "sh" || b.language == "sql" || b.language == "yaml" && !inARepositoryFile(t, b) {
			those = append(those, b)
		}
	}
	return those
}

// page is a page that is being followed, in a world of its own.
type page struct {
	*world
	path   string
	blocks []block // still to run, in their order
	dir    string  // where its shell is
	state  string  // a script that brings back its shell's variables and directory
}

// next takes the next block of the page, which has to be in that language.
func (p *page) next(language string) string {
	p.Helper()
	require.NotEmptyf(p, p.blocks, "%s has no further block to run", p.path)
	b := p.blocks[0]
	require.Equalf(p, language, b.language, "the next block of %s, line %d", p.path, b.line)
	p.blocks = p.blocks[1:]
	return p.real(b.text)
}

// real puts this world's addresses in place of the documents'.
func (p *page) real(block string) string {
	block = regexp.MustCompile(`postgres://(\w+):secret@localhost:5432/shop(\?sslmode=disable)?`).ReplaceAllStringFunc(block, func(address string) string {
		login, _, _ := strings.Cut(strings.TrimPrefix(address, "postgres://"), ":")
		return p.url(login)
	})
	return strings.NewReplacer(
		"postgres://postgres:tandem@localhost:5432/tandem", p.url("postgres"), // that of docker-compose.yml
		"localhost:9092", p.brokers[0],
	).Replace(block)
}

// sh runs the next block, which has to be one of the shell, and returns all that it
// printed. Variables that it exports, and where it went, are there in the next one.
func (p *page) sh() string {
	p.Helper()
	return p.run(strings.ReplaceAll(p.next("sh")+"\n", "tandem relay\n", "tandem relay --until-empty\n"))
}

// run runs commands that are not the page's in its shell, and returns what they print.
func (p *page) run(script string) string {
	p.Helper()
	out, err := p.shell(script + "\n{ export -p; echo cd \"'$PWD'\"; } >" + p.state).CombinedOutput()
	require.NoErrorf(p, err, "%s: %s", p.path, out)
	return string(out)
}

// start runs the next block in a further terminal, and returns when it has printed
// all these words. It is stopped at the page's end, and has to end well.
func (p *page) start(until ...string) {
	p.Helper()
	cmd, printed := p.shell("exec "+p.next("sh")), &output{}
	cmd.Stdout, cmd.Stderr = printed, printed
	require.NoError(p, cmd.Start())
	p.Cleanup(func() {
		assert.NoError(p, cmd.Process.Signal(syscall.SIGTERM))
		assert.NoErrorf(p, cmd.Wait(), "%s", printed)
	})
	for _, words := range until {
		require.Eventuallyf(p, func() bool { return strings.Contains(printed.String(), words) },
			2*time.Minute, 50*time.Millisecond, "it has not said %q", words)
	}
}

// output is what a program has printed until now.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// shell is the page's shell with a script to run.
func (p *page) shell(script string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(p.Context()), "sh", "-ec", ". "+p.state+"\n"+script+"\n")
	cmd.Dir = p.dir
	cmd.Env = append(testprograms.Environ(), "PATH="+p.programs+":"+os.Getenv("PATH"))
	return cmd
}

// yaml writes the next block, which has to be one of YAML, into a file.
func (p *page) yaml(name string) {
	p.Helper()
	require.NoError(p, os.WriteFile(filepath.Join(p.dir, name), []byte(p.next("yaml")), 0o600))
}

// sql runs the next block as the login that its first line names, "-- as shop", and
// returns the rows of what is selected in it, each as psql would show it.
func (p *page) sql() []string {
	p.Helper()
	text := p.next("sql")
	login := regexp.MustCompile(`^-- as (\w+)`).FindStringSubmatch(text)
	require.NotNilf(p, login, "the block begins with the login that runs it: %s", text)
	conn, err := pgx.Connect(p.Context(), p.url(login[1]))
	require.NoError(p, err)
	defer conn.Close(p.Context())
	results, err := conn.PgConn().Exec(p.Context(), text).ReadAll()
	require.NoErrorf(p, err, "%s", text)
	var rows []string
	for _, result := range results {
		for _, row := range result.Rows {
			values := make([]string, len(row))
			for i, value := range row {
				values[i] = string(value)
			}
			rows = append(rows, strings.Join(values, " | "))
		}
	}
	return rows
}
