package inboxhttp

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzAnswer: the headers that a handler sets, of whatever kind, are those of every
// attempt, the first included; or the handler is told that HTTP does not allow them.
func FuzzAnswer(f *testing.F) {
	f.Add("Etag", `"1"`, "Set-Cookie", "a=1", []byte("body"), 201)
	f.Add("X", "a\r\nInjected: b", "bad name", "\x00", []byte{}, 204)
	f.Add("Connection", "x, Etag", "Trailer:X-T", "\xff:: ", []byte("body"), 304)
	f.Add("", "", "x", " ", []byte("b"), 999)
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string, body []byte, status int) {
		if status < 200 || status > 999 {
			return
		}
		r := &recorder{header: http.Header{}, limit: 1 << 20}
		r.header.Add(name1, value1)
		r.header.Add(name2, value2)
		r.header.Add(name2, value1)
		r.WriteHeader(status)
		_, _ = r.Write(body)
		a, err := r.finish()
		if err != nil {
			return
		}
		again, err := readWire(a.wire())
		require.NoError(t, err)
		require.Equal(t, a.header, again)
		require.NotContains(t, again, "Injected")
		for name, values := range again {
			for _, v := range values {
				require.NotContains(t, v, "\n", name)
			}
		}
	})
}

// FuzzStoredAnswer: what stands in the table may be anything, and never more than
// an error.
func FuzzStoredAnswer(f *testing.F) {
	f.Add([]byte("Etag: \"1\"\r\n\r\n"))
	f.Add([]byte("\r\n"))
	f.Add([]byte(":\n\n"))
	f.Add(bytes.Repeat([]byte("a: b\n"), 2000))
	f.Fuzz(func(t *testing.T, raw []byte) {
		header, err := readWire(raw)
		if err != nil {
			return
		}
		_, err = readWire(answer{header: header}.wire())
		require.NoError(t, err)
	})
}
