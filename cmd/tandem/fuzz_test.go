package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// everySetting are those of all commands, anew: parsing keeps values.
func everySetting() (all []*setting) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if s, ours := f.Value.(*setting); ours {
				all = append(all, s)
			}
		})
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(newRoot(system{stdout: io.Discard, stderr: io.Discard}))
	return all
}

// inDevices tells of a file that has no end.
func inDevices(text string) bool {
	return strings.Contains(text, "/dev") || strings.Contains(text, "/proc")
}

// FuzzSettings gives a text to every setting of every command: it is taken, or the
// problem names the setting, is one line, and keeps secrets.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{
		"", "tandem", "Big Name", "kafka-1:9092, kafka-2", ":9092", "a:0", "[::1]:80", "/tandem/shop", "%zz", "5s", "1ns", "-1h", "9223372036854775808",
		"14", "true", "xml", "debug", "10GB", "1e308GB", "nan", "0x1p4", "postgres://u:p@h:5432/d", "host=h password='p", "2025-01-01T00:00:00Z",
		"01890a5d-ac96-774b-bcce-b302099a8057,", "http://collector:4318/v1/traces", "parked,held", "a\x00b", "\xff", "a\nb", "/no/such/file",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if inDevices(text) {
			return
		}
		for _, s := range everySetting() {
			problem := s.take(text, "--"+s.name)
			if problem == "" {
				continue
			}
			require.Contains(t, problem, "--"+s.name)
			require.NotContains(t, problem, "\n", s.name)
			require.True(t, utf8.ValidString(problem), "%s: %q", s.name, problem)
			require.Contains(t, problem, s.example, s.name)
		}
	})
}

// FuzzDatabaseURL: whatever surrounds a password, what is said about the address
// does not repeat it.
func FuzzDatabaseURL(f *testing.F) {
	const secret = "s3cr3t-word"
	for _, around := range [][2]string{
		{"u:", "@host:port/db"}, {"u:", "/x@host:5432/db"}, {"u:%zz", "@host/db"}, {"u:", "@host/db?sslmode=bogus"}, {"u", "@h"}, {":", ""},
		{"u:\x00", "@h/d"}, {"u:", "@h:1,h:2/d?target_session_attrs=x"}, {"u:", "@h/d?connect_timeout=x&sslrootcert=/no/file"},
	} {
		f.Add(around[0], around[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		if inDevices(before + after) {
			return
		}
		for _, text := range []string{
			"postgres://" + before + secret + after,
			"host=h password=" + secret + after,
			"host=h password='" + secret + after,
			"password=" + secret + " " + after,
		} {
			for _, s := range everySetting() {
				if s.name == "database-url" {
					problem := s.take(text, "--database-url")
					require.NotContains(t, problem, secret, "%q", text)
					break
				}
			}
		}
	})
}

// FuzzConfigFile: a file of any content is taken, or what is wrong with it is said
// with its name.
func FuzzConfigFile(f *testing.F) {
	for _, content := range []string{
		"", "lease: 2s\nkafka-brokers: [a:1, b:2]\nuntil-empty: true\n", "lease: [", "log_format: json", "lease: {a: b}", "config: x", "- a\n- b",
		"a: &a [x, x]\nb: *a", "kafka-brokers: [[a:1], {b: 2}, null, 3.5, 2001-01-01]", "\x00", "lease: !!binary aGVsbG8=", "LEASE: 2s", "lease.a: 1",
		"until-empty: 1", "a:\n  b: c", "? [a]\n: b", "<<: {lease: 3s}",
	} {
		f.Add([]byte(content))
	}
	path := filepath.Join(f.TempDir(), "tandem.yaml")
	f.Fuzz(func(t *testing.T, content []byte) {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		_, problems := loading(nil, "--config", path, "--kafka-brokers=a:1")
		for _, p := range problems {
			require.True(t, strings.Contains(p, path) || strings.Contains(p, "--config"), p)
			require.NotContains(t, p, "\n")
		}
	})
}

// FuzzEnvironment: a variable of ours is taken, or said to be wrong by its name.
func FuzzEnvironment(f *testing.F) {
	f.Add("LEASE", "3s")
	f.Add("KAFKA_BROKER", "a:1")
	f.Add("TEST_ANYTHING", "1")
	f.Add("CONFIG", "/no/such/file")
	f.Add("", "")
	f.Add("\xff\n", "=")
	f.Fuzz(func(t *testing.T, name, value string) {
		if inDevices(value) {
			return
		}
		_, problems := loading([]string{prefix + name + "=" + value}, "--kafka-brokers=a:1")
		for _, p := range problems {
			variable, _, _ := strings.Cut(name, "=") // as the system divides them
			require.True(t, strings.Contains(p, prefix+variable) || variable == "CONFIG", "%q: %s", name, p)
		}
	})
}
