package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

//go:embed initfiles
var initFiles embed.FS

// stack is what a service is made with, and what it begins with. In its commands DIR
// is the directory, and PACKAGE the same as a package of Go's.
type stack struct {
	name    string
	from    string   // the example, in initfiles
	to      string   // the example, in the directory
	marker  string   // a file by which the stack is recognised; optional
	prepare []string // commands that the example needs once
	run     string   // the command that runs it
}

// goPrepare are needed while the module is not published.
var goPrepare = []string{"go mod edit -replace github.com/tandem-outbox/tandem=../tandem   # a clone of Tandem", "go mod tidy"}

// stacks there are; the first whose marker is found is the default, else the last.
var stacks = []stack{
	{name: "go-pgx", from: "go-pgx.go.txt", to: "example/main.go", marker: "go.mod", prepare: goPrepare, run: "go run PACKAGE/example"},
	{name: "go-sql", from: "go-sql.go.txt", to: "example/main.go", prepare: goPrepare, run: "go run PACKAGE/example"},
	{name: "gorm", from: "gorm.go.txt", to: "example/main.go", prepare: goPrepare, run: "go run PACKAGE/example"},
	{name: "bun", from: "bun.go.txt", to: "example/main.go", prepare: goPrepare, run: "go run PACKAGE/example"},
	{name: "python", from: "example.py", to: "example.py", marker: "pyproject.toml", prepare: []string{"python3 -m pip install 'psycopg[binary]'"}, run: "python3 DIR/example.py"},
	{name: "sql", from: "example.sql", to: "example.sql", run: "psql \"${DATABASE_URL:-${TANDEM_DATABASE_URL:-postgres://postgres:tandem@localhost:5432/shop}}\" -f DIR/example.sql"},
}

// initOptions are the settings of "tandem init".
type initOptions struct {
	stack, dir string
	force      bool
}

func newInit(sys system) *cobra.Command {
	var o initOptions
	names := make([]string, 0, len(stacks))
	for _, s := range stacks {
		names = append(names, s.name)
	}
	which := choice(&o.stack, "stack", "what the example is written with", "", names...)
	which.flagOnly, which.notEmpty = true, true
	which.shown = "go-pgx where there is a go.mod, python where there is a pyproject.toml, else sql"
	dir := flagText(&o.dir, "dir", "directory", "where to write the files", "deploy/tandem")
	dir.initial, dir.notEmpty, dir.allowed = "tandem", true, "a directory, which is made where it is missing"
	return configure(&cobra.Command{
		Use:   "init",
		Short: "Write settings, a compose file and an example to begin with",
		Long: `Writes into a directory what a service of yours can begin with, and says what to do
next:

  tandem.yaml   settings for tandem
  compose.yaml  PostgreSQL, Kafka with a topic, the migrations and a relay, for Docker
  example       an order and its event in one transaction, and a consumer that charges
                each order once, in the language and with the library of --stack

A file that is there already is left alone, unless --force is given. No server is
asked, and nothing else is changed.`,
		Example: `  tandem init
  tandem init --stack gorm --dir deploy/tandem
  tandem init --stack python --force`,
	}, sys, []*setting{which, dir, once(&o.force, "force", "write over files that are there")},
		func(context.Context) error { return o.write(sys) })
}

// write writes the files that are not there.
func (o *initOptions) write(sys system) error {
	if isTandem(o.dir) {
		return fmt.Errorf("%s is a clone of Tandem itself, not a service of yours; give another --dir, or run this where your service is", o.dir)
	}
	chosen := recognised(o.stack)
	files := []struct{ from, to, what string }{
		{"tandem.yaml", "tandem.yaml", "settings for tandem"},
		{"compose.yaml", "compose.yaml", "PostgreSQL, Kafka, the migrations and a relay, for Docker"},
		{chosen.from, chosen.to, "an example with " + chosen.name},
	}
	written := 0
	for _, f := range files {
		file := filepath.Join(o.dir, f.to)
		if exists(file) && !o.force {
			fmt.Fprintf(sys.stdout, "left  %s: it is there already\n", file)
			continue
		}
		content, err := initFiles.ReadFile("initfiles/" + f.from)
		if err != nil {
			return err
		}
		if err := writeFile(file, content); err != nil {
			return err
		}
		fmt.Fprintf(sys.stdout, "wrote %s: %s\n", file, f.what)
		written++
	}
	if written == 0 {
		return errors.New("nothing was written, because all of it is there already; give --force to write over it, or another --dir")
	}
	fmt.Fprint(sys.stdout, chosen.next(o.dir))
	return nil
}

// recognised is the stack of that name, or the one that this directory looks like.
func recognised(name string) stack {
	for _, s := range stacks {
		if s.name == name || name == "" && s.marker != "" && exists(s.marker) {
			return s
		}
	}
	return stacks[len(stacks)-1]
}

// isTandem tells whether a directory is a clone of this project.
func isTandem(dir string) bool {
	module, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	return err == nil && strings.HasPrefix(string(module), "module github.com/tandem-outbox/tandem\n")
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

func writeFile(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("%w; give a --dir that can be written to", err)
	}
	// Readable for all: in a container somebody else reads it. It has no secret.
	if err := os.WriteFile(file, content, 0o644); err != nil {
		return fmt.Errorf("%w; give a --dir that can be written to", err)
	}
	return nil
}

// next says what to do with the files.
func (s stack) next(dir string) string {
	dir = filepath.ToSlash(dir)
	of := dir // as a package of Go's
	if !path.IsAbs(dir) {
		of = "./" + path.Clean(dir)
	}
	var b strings.Builder
	b.WriteString(`
Start the servers and the relay. No image is published: it is built from a clone of
Tandem, here ../tandem, which the compose file sees as ../../tandem:
  CLONE_OF_TANDEM=../../tandem docker compose -f DIR/compose.yaml up --detach
Or, with servers of your own: put their addresses into DIR/tandem.yaml and into the
variables DATABASE_URL and KAFKA_BROKERS, and
  kafka-topics.sh --bootstrap-server localhost:9092 --create --topic orders --partitions 3
  tandem migrate up --config DIR/tandem.yaml
  tandem relay --config DIR/tandem.yaml
Place an order:
`)
	if strings.HasSuffix(s.to, ".go") && !exists("go.mod") {
		b.WriteString("  go mod init example.com/shop   # there is no go.mod here\n")
	}
	for _, command := range s.prepare {
		b.WriteString("  " + command + "\n")
	}
	b.WriteString("  " + s.run + "\nSee what became of it:\n  tandem status --config DIR/tandem.yaml\n")
	return strings.NewReplacer("DIR", dir, "PACKAGE", of).Replace(b.String())
}
