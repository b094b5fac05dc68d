package relaykafka

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// header is one record header, as tests compare it.
type header struct{ name, value string }

// readHeaders decodes what appendHeaders has written.
func readHeaders(t testing.TB, b []byte, count int) []header {
	t.Helper()
	text := func() string {
		n, rest := readVarint(t, b)
		require.LessOrEqual(t, int(n), len(rest))
		s := string(rest[:n])
		b = rest[n:]
		return s
	}
	var hs []header
	for range count {
		name := text()
		hs = append(hs, header{name, text()})
	}
	require.Empty(t, b)
	return hs
}

func readVarint(t testing.TB, b []byte) (int64, []byte) {
	t.Helper()
	var u uint64
	for i := range b {
		u |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return int64(u>>1) ^ -int64(u&1), b[i+1:]
		}
	}
	require.Fail(t, "the varint has no end")
	return 0, nil
}

// jsonHeaders is what encoding/json makes of an object of strings, in order and
// with repetitions.
func jsonHeaders(object []byte) ([]header, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.Join(err, errors.New("no object"))
	}
	var hs []header
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		value, err := d.Token()
		if err != nil {
			return nil, err
		}
		text, isText := value.(string)
		if !isText {
			return nil, errors.New("no string")
		}
		hs = append(hs, header{name.(string), text})
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something behind the object")
	}
	return hs, nil
}

func TestHeadersAsStored(t *testing.T) {
	for name, c := range map[string]struct {
		object string
		want   []header
	}{
		"none":                {`{}`, nil},
		"space":               {" { \"a\" :\t\"b\" ,\n\"c\":\"d\"} \r\n", []header{{"a", "b"}, {"c", "d"}}},
		"order as given":      {`{"z": "1", "a": "2"}`, []header{{"z", "1"}, {"a", "2"}}},
		"empty value":         {`{"a": ""}`, []header{{"a", ""}}},
		"simple escapes":      {`{"a\"b": "\\ \/ \b \f \n \r \t \""}`, []header{{`a"b`, "\\ / \b \f \n \r \t \""}}},
		"unicode":             {`{"\u00e9": "\u20ac\ud83d\ude00é"}`, []header{{"é", "€😀é"}}},
		"zero byte":           {`{"a": "\u0000"}`, []header{{"a", "\x00"}}},
		"lone surrogates":     {`{"a": "\ud800x\udc00"}`, []header{{"a", "\ufffdx\ufffd"}}},
		"surrogate, then not": {`{"a": "\ud800\u0041"}`, []header{{"a", "\ufffdA"}}},
		"repeated":            {`{"a": "1", "a": "2"}`, []header{{"a", "1"}, {"a", "2"}}},
		"escape past a word":  {`{"a": "12345678\n12345678"}`, []header{{"a", "12345678\n12345678"}}},
		"traceparent": {`{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`,
			[]header{{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, n, err := appendHeaders(nil, []byte(c.object))
			require.NoError(t, err)
			require.Equal(t, c.want, readHeaders(t, got, n))
		})
	}
}

func TestLongEscapedHeader(t *testing.T) {
	long := string(bytes.Repeat([]byte("é\n"), 50_000))
	object, err := json.Marshal(map[string]string{long: long})
	require.NoError(t, err)
	got, n, err := appendHeaders([]byte("before"), object)
	require.NoError(t, err)
	require.Equal(t, []header{{long, long}}, readHeaders(t, got[len("before"):], n))
}

// badObjects are refused.
var badObjects = []string{
	``, ` `, `null`, `[]`, `"a"`, `{`, `{"a"`, `{"a"}`, `{"a":`, `{"a":}`, `{"a": 1}`, `{"a": null}`, `{"a": {}}`,
	`{"a": "b"`, `{"a": "b",}`, `{"a": "b" "c": "d"}`, `{,}`, `{a: "b"}`, `{"a": "b"} x`, `{} {}`, `{"a": "`, `{"a": "\`,
	`{"a": "\x"}`, `{"a": "\u12"}`, `{"a": "\u12g4"}`, `{"a": "\u+123"}`, "{\"a\": \"\n\"}", "{\"a\": \"1234567\x01\"}",
}

func TestHeadersThatAreNoneAreRefused(t *testing.T) {
	for _, object := range badObjects {
		_, _, err := appendHeaders(nil, []byte(object))
		require.Error(t, err, "%q", object)
	}
}

// FuzzHeaders holds the decoder against encoding/json: the same objects, the
// same headers.
func FuzzHeaders(f *testing.F) {
	for _, object := range badObjects {
		f.Add([]byte(object))
	}
	f.Add([]byte(`{"traceparent": "00-0af7651916cd43dd-01", "k\u00e9y": "\ud83d\ude00\\\n"}`))
	f.Fuzz(func(t *testing.T, object []byte) {
		if !utf8.Valid(object) {
			_, _, _ = appendHeaders(nil, object) // must not panic
			return
		}
		want, wantErr := jsonHeaders(object)
		got, n, err := appendHeaders(nil, object)
		if wantErr != nil {
			require.Error(t, err, "%q", object)
			return
		}
		require.NoError(t, err, "%q", object)
		require.True(t, slices.Equal(want, readHeaders(t, got, n)), "%q", object)
	})
}

func BenchmarkHeaders(b *testing.B) {
	object := []byte(`{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "content-type": "application/json"}`)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _, _ = appendHeaders(dst[:0], object)
	}
}
