package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// loaded is what a command with a setting of each kind got.
type loaded struct {
	lease   time.Duration
	brokers []string
	empty   bool
	format  string
}

// loading returns the values, or the problems, of a command line.
func loading(env []string, args ...string) (loaded, []string) {
	var got loaded
	settings := []*setting{
		duration(&got.lease, "lease", "", 5*time.Second, time.Second),
		kafkaBrokers(&got.brokers),
		toggle(&got.empty, "until-empty", ""),
		choice(&got.format, "log-format", "", "text", "text", "json"),
	}
	var problems []string
	cmd := configure(&cobra.Command{Use: "test"}, system{env: env}, settings, nil)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		problems = load(cmd, env, append(settings, configFile()))
		return nil
	}
	cmd.SetArgs(append([]string{}, args...)) // nil would be those of the test
	if err := cmd.Execute(); err != nil {
		problems = append(problems, err.Error())
	}
	return got, problems
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tandem.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestAFlagWinsOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	t.Parallel()
	path := file(t, "lease: 2s\nkafka-brokers: [a:1, b:2]\nuntil-empty: true\nlog-format: json\n")

	got, problems := loading([]string{"TANDEM_CONFIG=" + path})
	require.Empty(t, problems)
	require.Equal(t, loaded{2 * time.Second, []string{"a:1", "b:2"}, true, "json"}, got)

	got, problems = loading([]string{"TANDEM_LEASE=3s", "TANDEM_KAFKA_BROKERS=c:3, d", "TANDEM_LOG_FORMAT=", "HOME=/"}, "--config", path)
	require.Empty(t, problems)
	require.Equal(t, loaded{3 * time.Second, []string{"c:3", "d:9092"}, true, "json"}, got)

	got, problems = loading([]string{"TANDEM_LEASE=3s"}, "--config", path, "--lease", "4s", "--until-empty=false")
	require.Empty(t, problems)
	require.Equal(t, loaded{4 * time.Second, []string{"a:1", "b:2"}, false, "json"}, got)

	got, problems = loading(nil, "--kafka-brokers=e:5")
	require.Empty(t, problems)
	require.Equal(t, loaded{5 * time.Second, []string{"e:5"}, false, "text"}, got)
}

func TestEverythingWrongIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	path := file(t, "lease: 5\nlog_format: json\n")
	_, problems := loading([]string{"TANDEM_UNTIL_EMPTY=maybe", "TANDEM_KAFKA_BROKER=a:1", "TANDEM_TEST_ANYTHING=1"},
		"--config", path, "--log-format", "xml")
	all := strings.Join(problems, "\n")
	require.Len(t, problems, 6, all)
	for _, want := range [][]string{
		{"TANDEM_KAFKA_BROKER is no setting", "TANDEM_KAFKA_BROKERS?"},
		{path, `"log_format" is no setting`, "log-format?"},
		{path + ": lease", `"5"`, "at least 1s", "example 5s"},
		{"--kafka-brokers is missing", "TANDEM_KAFKA_BROKERS", "example kafka-1:9092"},
		{"TANDEM_UNTIL_EMPTY", `"maybe"`, "true or false"},
		{"--log-format", `"xml"`, "text or json"},
	} {
		require.Condition(t, func() bool {
			for _, p := range problems {
				if containsAll(p, want) {
					return true
				}
			}
			return false
		}, "%q in\n%s", want, all)
	}
}

func containsAll(s string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}

func TestAFileThatCannotBeReadIsAProblem(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/nowhere/tandem.yaml", file(t, "lease: [")} {
		_, problems := loading(nil, "--config", path, "--kafka-brokers=a:1")
		require.Len(t, problems, 1)
		require.Contains(t, problems[0], "--config")
	}
}

func TestNoDatabaseURLIsRepeated(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-word"
	for _, url := range []string{
		"postgres://u:" + secret + "@host:port/db",
		"postgres://u:" + secret + "/x@host:5432/db",
		"postgres://u:%zz" + secret + "@host/db",
		"mysql://u:" + secret + "@host/db",
		"postgres://u:" + secret + "@host/db?sslmode=bogus",
		"host=h password=" + secret + " sslmode=bogus",
		"host=h password='" + secret,
		secret,
	} {
		_, err := parseDatabase(url)
		require.Error(t, err, url)
		r := tandem(t, nil, "migrate", "status", "--database-url", url)
		require.Equal(t, exitUsage, r.code)
		require.Contains(t, r.stderr, "--database-url (value hidden)")
		require.NotContains(t, r.stdout+r.stderr, secret)
	}
}

func TestWrongUsageNamesWhatWasMeant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"relya"}, "relay"},
		{[]string{"migrate"}, "up, down, status, print"},
		{[]string{"migrate", "stat"}, `"stat"`},
		{[]string{"relay", "--leas", "5s"}, "--lease?"},
		{[]string{"relay", "now"}, `"now"`},
		{[]string{"migrate", "print", "--schema", "Big Name"}, "1 to 40 of a-z"},
		{[]string{"rebase", "--publish-all", "--publish-none", "--database-url", "postgres://h/d"}, "publish-all publish-none"},
		{[]string{"rebase", "--database-url", "postgres://h/d"}, "--yes"},
	} {
		r := tandem(t, nil, c.args...)
		require.Equal(t, exitUsage, r.code, c.args)
		require.Contains(t, r.stderr, c.want)
		require.Empty(t, r.stdout)
	}
}
