package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testcerts"
)

func TestTheSampleFileIsTheOneInDeploy(t *testing.T) {
	t.Parallel()
	r := tandem(t, nil, "config", "sample")
	require.Equal(t, exitDone, r.code)
	golden(t, "../../../deploy/tandem.yaml", r.stdout)
}

// sampleLine is a setting of the sample, in force or not.
var sampleLine = regexp.MustCompile(`(?m)^#?([a-z-]+): (.+)$`)

func TestTheSampleFileHoldsEverySettingOnce(t *testing.T) {
	t.Parallel()
	var keys []string
	for _, match := range sampleLine.FindAllStringSubmatch(sampleFile(), -1) {
		keys = append(keys, match[1])
	}
	known := slices.DeleteFunc(knownNames(newRoot(system{})), func(name string) bool { return name == "config" })
	require.ElementsMatch(t, known, keys)
}

// realFiles puts files that are there in place of those the sample names.
func realFiles(t *testing.T, sample string) string {
	t.Helper()
	ca := testcerts.NewAuthority(t, "ours")
	pair := ca.Issue(t, "relay")
	return strings.NewReplacer(
		"/etc/tandem/ca.pem", testcerts.File(t, "ca.pem", ca.PEM),
		"/etc/tandem/client.pem", testcerts.File(t, "client.pem", pair.Certificate),
		"/etc/tandem/client.key", testcerts.File(t, "client.key", pair.Key),
		"/run/secrets/database-password", testcerts.File(t, "database", []byte("one\n")),
		"/run/secrets/kafka-password", testcerts.File(t, "kafka", []byte("two\n")),
	).Replace(sample)
}

// Each value of the sample is in force where its line is, and all of them
// together are right, but for the two passwords that may come from one place only.
func TestTheSampleFileIsRight(t *testing.T) {
	t.Parallel()
	sample := realFiles(t, sampleFile())
	all := sampleLine.ReplaceAllString(sample, "$1: $2")
	for name, content := range map[string]string{
		"as it is":            sample,
		"passwords in it":     regexp.MustCompile(`(?m)^.*-password-file: .*$`).ReplaceAllString(all, ""),
		"passwords in files":  regexp.MustCompile(`(?m)^kafka-sasl-password: .*$`).ReplaceAllString(strings.Replace(all, ":secret@", "@", 1), ""),
		"Windows' line ends":  strings.ReplaceAll(sample, "\n", "\r\n"),
		"no line end at last": strings.TrimSuffix(sample, "\n"),
	} {
		path := filepath.Join(t.TempDir(), "tandem.yaml")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		r := tandem(t, nil, "config", "check", "--config", path)
		require.Equal(t, exitDone, r.code, "%s: %s", name, r.stderr)
		for _, match := range regexp.MustCompile(`(?m)^([a-z-]+): ([^\r\n]+)`).FindAllStringSubmatch(content, -1) {
			value := match[2]
			switch match[1] {
			case "database-url":
				value = "tandem@localhost:5432/shop (password hidden)"
			case "kafka-sasl-password":
				value = "(hidden)"
			}
			require.Regexp(t, `(?m)^`+match[1]+` +`+regexp.QuoteMeta(value)+` +`+regexp.QuoteMeta(path)+`$`, r.stdout, name)
		}
	}
}

func TestConfigCheckSaysWhereEachValueComesFrom(t *testing.T) {
	t.Parallel()
	path := file(t, "database-url: postgres://relay:s3cr3t@db.example.com/shop\nlease: 2s\nkafka-sasl-password: t0ps3cr3t\nlog-level: debug\n")
	r := tandem(t, []string{"TANDEM_CONFIG=" + path, "TANDEM_LEASE=3s", "TANDEM_KAFKA_BROKERS=b", "TANDEM_KAFKA_SASL_USERNAME=u"},
		"config", "check", "--kafka-sasl-mechanism", "plain")
	require.Equal(t, exitDone, r.code, r.stderr)
	for _, want := range []string{
		`database-url +relay@db.example.com:5432/shop \(password hidden\) +` + path,
		`lease +3s +TANDEM_LEASE`,
		`kafka-brokers +b +TANDEM_KAFKA_BROKERS`,
		`kafka-sasl-mechanism +plain +--kafka-sasl-mechanism`,
		`kafka-sasl-password +\(hidden\) +` + path,
		`log-level +debug +` + path,
		`save-every +20ms +default`,
		`http-addr +off +default`,
		`source +/tandem/<database> +default`,
	} {
		require.Regexp(t, `(?m)^`+want+`$`, r.stdout)
	}
	require.NotContains(t, r.stdout, "s3cr3t")

	r = tandem(t, []string{"TANDEM_CONFIG=" + path}, "config", "check")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "--kafka-brokers is missing")
	require.NotContains(t, r.stdout+r.stderr, "s3cr3t")
}
