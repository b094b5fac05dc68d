package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tandem-outbox/tandem/internal/advice"
)

// repository is its root, from here.
var repository = filepath.Join("..", "..")

// runbooks are the headings of docs/operating.md of the third level, by those of the
// second that they are under. A heading may name several things, with commas.
func runbooks(t *testing.T) (text string, under map[string][]string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(repository, "docs", "operating.md"))
	require.NoError(t, err)
	under = map[string][]string{}
	part := ""
	for _, match := range regexp.MustCompile(`(?m)^(##+) (.+)$`).FindAllStringSubmatch(string(page), -1) {
		if match[1] == "##" {
			part = match[2]
			continue
		}
		for name := range strings.SplitSeq(match[2], ", ") {
			under[part] = append(under[part], strings.Trim(name, "`"))
		}
	}
	return strings.Join(strings.Fields(string(page)), " "), under
}

// Each alert has a runbook and says where, and each runbook of an alert its alert.
func TestAlertsHaveRunbooks(t *testing.T) {
	t.Parallel()
	_, under := runbooks(t)
	for file, part := range map[string]string{
		"tandem.rules.yml":       "Alerts of the relay",
		"tandem-inbox.rules.yml": "Alerts of consumers",
	} {
		text, err := os.ReadFile(filepath.Join(repository, "deploy", "prometheus", file))
		require.NoError(t, err)
		var rules struct {
			Groups []struct {
				Rules []struct {
					Alert       string
					Annotations map[string]string
				}
			}
		}
		require.NoError(t, yaml.Unmarshal(text, &rules))
		var alerts []string
		for _, group := range rules.Groups {
			for _, rule := range group.Rules {
				alerts = append(alerts, rule.Alert)
				require.Equal(t, "docs/operating.md#"+strings.ToLower(rule.Alert), rule.Annotations["runbook_url"])
			}
		}
		require.NotEmpty(t, alerts)
		require.ElementsMatch(t, alerts, under[part])
	}
}

// Each finding has a runbook under its code, which is where tandem doctor points.
func TestFindingsHaveRunbooks(t *testing.T) {
	t.Parallel()
	_, under := runbooks(t)
	var codes []string
	given := mentioned(t, "advice", "relay", "relay/admin", "relay/internal/findings", "inbox/admin", "cmd/tandem")
	for name, c := range stringConstants(t, "internal/advice/codes.go") {
		codes = append(codes, c)
		require.Containsf(t, given, name, "a code that no finding has")
		require.Regexp(t, `^[a-z-]+$`, c)
		require.Equal(t, "docs/operating.md#"+c, advice.Runbook(c))
	}
	require.Contains(t, codes, advice.NoRelay)
	require.ElementsMatch(t, codes, under["Findings of tandem doctor"])
}

// Each finding has a code, and each error that keeps a relay from starting but the
// one that lists several.
func TestFindingsHaveCodes(t *testing.T) {
	t.Parallel()
	with, without := 0, 0
	for _, dir := range []string{"relay", "relay/admin", "relay/internal/findings", "inbox/admin", "cmd/tandem"} {
		for _, file := range goFiles(t, dir) {
			ast.Inspect(file, func(n ast.Node) bool {
				if literal, ok := n.(*ast.CompositeLit); ok {
					switch fields := fieldsOf(literal); {
					case fields["Code"]:
						with++
					case fields["Problem"], fields["Severity"]:
						without++
					}
				}
				return true
			})
		}
	}
	require.Greater(t, with, 20)
	require.Equal(t, 1, without)
}

// Each reason for which a consumer parks has a runbook; those of handlers' own
// making are not ours to know. Each reason for a blocked partition is explained.
func TestReasonsOfConsumersHaveRunbooks(t *testing.T) {
	t.Parallel()
	text, under := runbooks(t)
	reasons := slices.Collect(maps.Values(stringConstants(t, "inbox/internal/outcome/outcome.go")))
	require.Contains(t, reasons, "unprovable")
	require.ElementsMatch(t, reasons, under["Why a consumer parks a message"])

	source, err := os.ReadFile(filepath.Join(repository, "inbox", "inboxkafka", "stats.go"))
	require.NoError(t, err)
	blocked := regexp.MustCompile(`"blocked", "([^"]+)"`).FindAllStringSubmatch(string(source), -1)
	require.Len(t, blocked, 5)
	for _, why := range blocked {
		require.Contains(t, text, `"`+why[1]+`"`)
	}
}

// Each error of Kafka's that the relay has a ruling for has a runbook by the name that
// it has in a reason. The rest are refusals of the relay's own, whose words are there.
func TestReasonsOfRelaysHaveRunbooks(t *testing.T) {
	t.Parallel()
	text, under := runbooks(t)
	titles := map[string]string{} // by the name of the constant
	for code := kafka.Error(-1); code < 200; code++ {
		titles[strings.ReplaceAll(code.Title(), " ", "")] = code.Title()
	}
	var ruled, hints []string
	for _, file := range goFiles(t, "relay/relaykafka") {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if n.Names[0].Name == "rulings" {
					for _, e := range n.Values[0].(*ast.CompositeLit).Elts {
						name := e.(*ast.KeyValueExpr).Key.(*ast.SelectorExpr).Sel.Name
						require.NotEmptyf(t, titles[name], "kafka-go's title of %s", name)
						ruled = append(ruled, titles[name])
					}
				}
			case *ast.KeyValueExpr:
				hint, literal := n.Value.(*ast.BasicLit)
				if key, ok := n.Key.(*ast.Ident); ok && literal && key.Name == "Hint" {
					hints = append(hints, unquoted(t, hint))
				}
			}
			return true
		})
	}
	require.Contains(t, ruled, "Message Size Too Large")
	require.Len(t, hints, 3, "refusals that are none of Kafka's")
	for _, hint := range hints {
		require.Contains(t, text, hint)
	}
	require.Contains(t, stringsIn(t, "relay"), "the partition that it asks for does not exist")
	require.Contains(t, text, "the partition that it asks for does not exist")

	words := strings.ToLower(strings.Join(stringsIn(t, "relay", "relay/relaykafka"), "\n"))
	for _, name := range under["What Kafka says"] {
		if !slices.Contains(ruled, name) {
			require.Contains(t, words, strings.ToLower(name), "a runbook without its reason")
		}
		ruled = slices.DeleteFunc(ruled, func(title string) bool { return title == name })
	}
	require.Empty(t, ruled, "without a runbook")
}

// stringConstants are those of a file that are given as literals, by their names.
func stringConstants(t *testing.T, path string) map[string]string {
	t.Helper()
	values := map[string]string{}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(repository, path), nil, 0)
	require.NoError(t, err)
	for _, decl := range file.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.CONST {
			for _, spec := range d.Specs {
				for i, value := range spec.(*ast.ValueSpec).Values {
					if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
						values[spec.(*ast.ValueSpec).Names[i].Name] = unquoted(t, literal)
					}
				}
			}
		}
	}
	return values
}

// mentioned are the names of a package that others use.
func mentioned(t *testing.T, name string, dirs ...string) (all []string) {
	t.Helper()
	for _, dir := range dirs {
		for _, file := range goFiles(t, dir) {
			ast.Inspect(file, func(n ast.Node) bool {
				if selector, ok := n.(*ast.SelectorExpr); ok {
					if of, ok := selector.X.(*ast.Ident); ok && of.Name == name {
						all = append(all, selector.Sel.Name)
					}
				}
				return true
			})
		}
	}
	return all
}

// fieldsOf are the fields that a literal of a struct names.
func fieldsOf(literal *ast.CompositeLit) map[string]bool {
	fields := map[string]bool{}
	for _, element := range literal.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if name, ok := pair.Key.(*ast.Ident); ok {
				fields[name.Name] = true
			}
		}
	}
	return fields
}

// stringsIn are the string literals of packages.
func stringsIn(t *testing.T, dirs ...string) (all []string) {
	t.Helper()
	for _, dir := range dirs {
		for _, file := range goFiles(t, dir) {
			ast.Inspect(file, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					all = append(all, unquoted(t, literal))
				}
				return true
			})
		}
	}
	return all
}

func goFiles(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repository, dir, "*.go"))
	require.NoError(t, err)
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			require.NoError(t, err)
			files = append(files, file)
		}
	}
	require.NotEmpty(t, files)
	return files
}

func unquoted(t *testing.T, literal *ast.BasicLit) string {
	t.Helper()
	value, err := strconv.Unquote(literal.Value)
	require.NoError(t, err)
	return value
}
