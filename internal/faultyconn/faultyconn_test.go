package faultyconn

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// However a stream is divided into reads and writes, its messages are the same.
func TestMessagesAreFoundInAnyPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		protocol := rapid.SampledFrom([]Protocol{Postgres, Kafka}).Draw(t, "protocol")
		client := rapid.Bool().Draw(t, "client") && protocol == Postgres
		var stream []byte
		var begins []int
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 9), 0, 9).Draw(t, "bodies") {
			begins = append(begins, len(stream))
			if protocol == Postgres && (i > 0 || !client) {
				stream = append(stream, 'X')
			}
			length := n
			if protocol == Postgres {
				length += 4
			}
			stream = append(binary.BigEndian.AppendUint32(stream, uint32(length)), make([]byte, n)...)
		}
		m := messages{kind: protocol.kind(), untyped: client}
		var found []int
		for at := 0; at < len(stream); {
			n := rapid.IntRange(1, len(stream)-at).Draw(t, "piece")
			for begin, end := range m.in(stream[at : at+n]) {
				require.Less(t, begin, end)
				found = append(found, at+begin)
			}
			at += n
		}
		require.Equal(t, begins, found)
		require.True(t, m.left == 0 && len(m.header) == 0)
	})
}

// said is a message of Kafka's form.
func said(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// exchange sends two requests at once, each of which is answered by itself, and
// returns what arrived on either side.
func exchange(t *testing.T, line *Line) (requests, answers string) {
	t.Helper()
	ours, theirs := net.Pipe()
	client := line.wrap(ours)
	got := make(chan string)
	go func() {
		all, _ := io.ReadAll(theirs)
		got <- string(all)
	}()
	if _, err := client.Write(append(said("one"), said("two")...)); err != nil {
		require.ErrorIs(t, err, ErrBroken)
		requests = <-got
		require.NoError(t, theirs.Close())
		return requests, ""
	}
	require.NoError(t, client.Close())
	requests = <-got

	ours, theirs = net.Pipe()
	client = line.wrap(ours)
	go func() {
		_, _ = theirs.Write(append(said("three"), said("four")...))
		_ = theirs.Close()
	}()
	all, err := io.ReadAll(client)
	require.NoError(t, err)
	_, err = client.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, client.Close())
	return requests, string(all)
}

func TestEachMessageFailsInTurn(t *testing.T) {
	t.Parallel()
	one, two, three, four := string(said("one")), string(said("two")), string(said("three")), string(said("four"))
	type seen struct{ requests, answers string }
	want := []seen{
		{"", ""}, {one[:4], ""}, // of 7 bytes
		{one, ""}, {one + two[:4], ""},
		{one + two, ""}, {one + two, three[:5]}, // of 9
		{one + two, three}, {one + two, three + four[:4]},
		{one + two, three + four},
	}
	var got []seen
	line := New(Kafka)
	require.Equal(t, len(want)-1, line.Each(1, func(int, How) {
		requests, answers := exchange(t, line)
		got = append(got, seen{requests, answers})
	}))
	require.Equal(t, want, got)
	require.False(t, line.Broken())
	require.Equal(t, 2, line.EachFrom(4, 1, func(int, How) { exchange(t, line) }))
}
