package pgtext_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/pgtext"
)

func TestRepaired(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":                      "",
		"as it is, ü\n":         "as it is, ü\n",
		"a\x00\x00b":            "a\ufffd\ufffdb",
		"a\xff\xfe\xfd":         "a\ufffd",
		"1234567890":            "1234567890",
		"12345678901234567890x": "12345678901234567890…",
		"1234567890123456789üx": "1234567890123456789…", // not half of a character
	} {
		require.Equal(t, want, pgtext.Repaired(s, 20))
	}
}

func FuzzRepaired(f *testing.F) {
	f.Add("a\x00\xffb", 2)
	f.Add("\xc3\x28\xe2\x82", 3)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit &= 0xffff
		got := pgtext.Repaired(s, limit)
		require.True(t, utf8.ValidString(got))
		require.NotContains(t, got, "\x00")
		require.LessOrEqual(t, len(got), limit+len("…"))
		require.Equal(t, got, pgtext.Repaired(got, limit+len("…")))
		if utf8.ValidString(s) && !strings.Contains(s, "\x00") && len(s) <= limit {
			require.Equal(t, s, got)
		}
	})
}
