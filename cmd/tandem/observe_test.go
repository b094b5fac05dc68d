package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"1": 1, "1000B": 1000, "1kB": 1000, "1.5 GB": 1_500_000_000, "2GiB": 2 << 30, "1TB": 1e12} {
		got, err := parseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "GB", "0", "-1", "1 XB", "1e30", "10 G", "NaN", "1GB2"} {
		_, err := parseSize(text)
		require.Error(t, err, text)
	}
}

func TestAWarningThatComesTooLateIsRefused(t *testing.T) {
	t.Parallel()
	r := tandem(t, environment("postgres://x@localhost/x", "localhost:9092", "TANDEM_DISK_SIZE=1GB"), "relay", "--warn-backlog-size", "2GB", "--warn-backlog-age", "ten minutes")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "--warn-backlog-size")
	require.Contains(t, r.stderr, "TANDEM_DISK_SIZE")
	require.Contains(t, r.stderr, "--warn-backlog-age \"ten minutes\"")
}
