package inbox_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/inbox"
)

type order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

// nullable says itself what null is.
type nullable struct{ null bool }

func (n *nullable) UnmarshalJSON(text []byte) error {
	n.null = string(text) == "null"
	return nil
}

func TestJSON(t *testing.T) {
	want := order{ID: "o-1", Cents: 100}
	const good = ` {"id": "o-1", "cents": 100} ` + "\n"
	for name, c := range map[string]struct {
		contentType, payload string
		refused              string // empty where it is taken
		refusedStrictly      string
	}{
		"plain":                     {payload: good},
		"application/json":          {contentType: "application/json", payload: good},
		"with a charset":            {contentType: "Application/JSON; charset=utf-8", payload: good},
		"a format upon JSON":        {contentType: "application/vnd.shop.order+json", payload: good},
		"text":                      {contentType: "text/plain", payload: good, refused: "not application/json"},
		"structured mode":           {contentType: "application/cloudevents+json", payload: good, refused: "structured mode"},
		"structured mode in a list": {contentType: "application/cloudevents-batch+json", payload: good, refused: "structured mode"},
		"no content type at all":    {contentType: ";;", payload: good, refused: "content type"},
		"empty":                     {payload: "", refused: "empty"},
		"space":                     {payload: " \n", refused: "empty"},
		"null":                      {payload: " null ", refused: "null"},
		"cut short":                 {payload: `{"id": "o-1"`, refused: "unexpected EOF"},
		"two values":                {payload: good + good, refused: "behind the JSON value"},
		"rubbish behind it":         {payload: good + "x", refused: "behind the JSON value"},
		"of another shape":          {payload: `{"id": 1}`, refused: "cannot unmarshal"},
		"a field more":              {payload: `{"id": "o-1", "cents": 100, "note": ""}`, refusedStrictly: "unknown field"},
	} {
		m := inbox.Message{ContentType: c.contentType, Value: []byte(c.payload)}
		requireDecoded(t, name, inbox.JSON[order](), m, want, c.refused)
		if c.refusedStrictly == "" {
			c.refusedStrictly = c.refused
		}
		requireDecoded(t, name+", strictly", inbox.StrictJSON[order](), m, want, c.refusedStrictly)
	}
}

func requireDecoded(t *testing.T, name string, codec inbox.Codec[order], m inbox.Message, want order, refused string) {
	t.Helper()
	got, err := codec(m)
	if refused != "" {
		require.ErrorContains(t, err, refused, name)
		return
	}
	require.NoError(t, err, name)
	require.Equal(t, want, got, name)
}

func TestJSONNullWhereItMeansSomething(t *testing.T) {
	m := inbox.Message{Value: []byte("null")}
	pointer, err := inbox.JSON[*order]()(m)
	require.NoError(t, err)
	require.Nil(t, pointer)
	list, err := inbox.JSON[[]order]()(m)
	require.NoError(t, err)
	require.Nil(t, list)
	own, err := inbox.JSON[nullable]()(m)
	require.NoError(t, err)
	require.True(t, own.null)
	raw, err := inbox.JSON[json.RawMessage]()(m)
	require.NoError(t, err)
	require.Equal(t, "null", string(raw))
}

func TestDecodeErrorIsBounded(t *testing.T) {
	err := &inbox.DecodeError{MessageID: strings.Repeat("i", 1000), Type: strings.Repeat("t", 100_000), Into: "order", Err: errors.New("why")}
	require.Contains(t, err.Error(), "into order: why")
	require.Less(t, len(err.Error()), 400)
}
