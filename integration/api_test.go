package integration_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write api.txt anew")

// api.txt has every exported name of every package that users import, with its
// signature, one a line: a change of it is seen in the change that makes it.
func TestAPI(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, dir := range public(t) {
		lines = append(lines, exported(t, dir)...)
	}
	now := strings.Join(lines, "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile("../api.txt", []byte(now), 0o644))
	}
	golden, err := os.ReadFile("../api.txt")
	require.NoError(t, err)
	require.Equal(t, string(golden), now, "if it is meant: go test ./integration -run TestAPI -update, and a line in CHANGELOG.md")
}

// public are the directories of the packages that users may import.
func public(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := fs.WalkDir(os.DirFS(".."), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || path == "." {
			return err
		}
		if name := entry.Name(); strings.HasPrefix(name, ".") || slices.Contains([]string{"internal", "cmd", "integration", "examples", "testdata", "bin"}, name) {
			return fs.SkipDir
		}
		files, err := filepath.Glob(filepath.Join("..", path, "*.go"))
		if len(files) > 0 {
			dirs = append(dirs, path)
		}
		return err
	})
	require.NoError(t, err)
	return dirs
}

// exported lists the exported names of a package.
func exported(t *testing.T, dir string) (lines []string) {
	t.Helper()
	pkg, err := build.ImportDir(filepath.Join("..", dir), 0)
	require.NoError(t, err)
	add := func(format string, arguments ...any) {
		lines = append(lines, dir+": "+strings.Join(strings.Fields(fmt.Sprintf(format, arguments...)), " "))
	}
	for _, name := range pkg.GoFiles {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, filepath.Join("..", dir, name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		text := func(node any) string {
			var b strings.Builder
			require.NoError(t, printer.Fprint(&b, set, node))
			return b.String()
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type))) {
					d.Body, d.Doc = nil, nil
					add("%s", text(d))
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					declared(spec, d.Tok, text, add)
				}
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// receiver is the type of a method, without star and type parameters.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// declared adds constants, variables and types; of a struct its exported fields, of an
// interface its methods.
func declared(spec ast.Spec, tok token.Token, text func(any) string, add func(string, ...any)) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() && s.Type != nil {
				add("%s %s %s", tok, name, text(s.Type))
			} else if name.IsExported() {
				add("%s %s", tok, name)
			}
		}
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return
		}
		name := s.Name.Name
		if s.TypeParams != nil {
			for _, p := range s.TypeParams.List {
				name += fmt.Sprintf("[%s %s]", p.Names[0], text(p.Type))
			}
		}
		var fields *ast.FieldList
		switch is := s.Type.(type) {
		case *ast.StructType:
			add("type %s struct", name)
			fields = is.Fields
		case *ast.InterfaceType:
			add("type %s interface", name)
			fields = is.Methods
		default:
			equals := map[bool]string{true: "= "}[s.Assign.IsValid()]
			add("type %s %s%s", name, equals, text(s.Type))
			return
		}
		for _, f := range fields.List {
			if len(f.Names) == 0 {
				add("type %s has %s", name, text(f.Type))
			}
			for _, field := range f.Names {
				if field.IsExported() {
					add("type %s has %s %s", name, field, text(f.Type))
				}
			}
		}
	}
}
