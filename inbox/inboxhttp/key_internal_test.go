package inboxhttp

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseKey(t *testing.T) {
	t.Parallel()
	const uuid = "8e03978e-40d5-43e8-bc93-6894a57f9324"
	for field, want := range map[string]string{
		`"` + uuid + `"`:               uuid,
		uuid:                           uuid,
		" \t" + uuid + " ":             uuid,
		`"a b"`:                        "a b",
		`"a\"b\\c"`:                    `a"b\c`,
		`"a,b;c"`:                      "a,b;c",
		"Zm9v/YmFy+==":                 "Zm9v/YmFy+==",
		`"` + strings.Repeat("x", 255): "", // not closed
		strings.Repeat("x", 255):       strings.Repeat("x", 255),
		strings.Repeat("x", 256):       "",
		"":                             "",
		" ":                            "",
		`""`:                           "",
		`"`:                            "",
		`"a" `:                         "a",
		`"a"b`:                         "",
		`"a";p=1`:                      "",
		`"a", "b"`:                     "",
		`"a\"`:                         "",
		`"a\n"`:                        "",
		"\"a\x7f\"":                    "",
		"\"a\tb\"":                     "",
		"\"caf\xe9\"":                  "",
		"café":                         "",
		"a b":                          "",
		"a,b":                          "",
		"a;b":                          "",
		`a"b`:                          "",
		`a\b`:                          "",
	} {
		key, problem := parseKey([]string{field})
		require.Equal(t, want, key, "%q: %s", field, problem)
		require.Equal(t, want == "", problem != "", "%q: %s", field, problem)
	}
	key, problem := parseKey(nil)
	require.Empty(t, key+problem)
	_, problem = parseKey([]string{"a", "a"})
	require.Contains(t, problem, "2 times")
}

// A key is what its quoted form says, and never anything else.
func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{`"a"`, "a", `"a\"\\"`, `"`, `"\`, "a;b", "\x00", strings.Repeat("é", 200)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		key, problem := parseKey([]string{field})
		if problem != "" {
			require.Empty(t, key)
			return
		}
		require.NotEmpty(t, key)
		require.LessOrEqual(t, len(key), keyMax)
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		again, problem := parseKey([]string{quoted})
		require.Empty(t, problem)
		require.Equal(t, key, again)
	})
}

// Headers come back from storage as they would have been sent.
func TestHeadersAsStored(t *testing.T) {
	t.Parallel()
	a := answer{header: map[string][]string{
		"Set-Cookie": {"a=1; Path=/", "b=2"},
		"X-Bytes":    {"\xff:: "},
		"X-Lines":    {"a\r\nInjected: b"},
		"X-Empty":    {""},
		"bad name":   {"x"},
	}}
	got, err := readWire(a.wire())
	require.NoError(t, err)
	require.Equal(t, map[string][]string{
		"Set-Cookie": {"a=1; Path=/", "b=2"},
		"X-Bytes":    {"\xff::"},
		"X-Lines":    {"a  Injected: b"},
		"X-Empty":    {""},
	}, map[string][]string(got))
	got, err = readWire(answer{}.wire())
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestHeadersOfOneConnectionAreNotKept(t *testing.T) {
	t.Parallel()
	got := endToEnd(map[string][]string{
		"Connection": {"close, X-Hop"}, "X-Hop": {"1"}, "Keep-Alive": {"5"}, "Transfer-Encoding": {"chunked"},
		"Content-Length": {"7"}, "Date": {"now"}, "Trailer": {"X-T"}, "Trailer:X-T": {"1"}, "Upgrade": {"h2c"},
		"Etag": {`"1"`},
	})
	require.Equal(t, map[string][]string{"Etag": {`"1"`}}, map[string][]string(got))
}
