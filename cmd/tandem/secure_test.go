package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testcerts"
)

// Each contradiction is one problem that names both sides, and no secret.
func TestContradictionsNameBothSides(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-word"
	ca := testcerts.NewAuthority(t, "ours")
	pair, other := ca.Issue(t, "relay"), ca.Issue(t, "another")
	certificate, key := testcerts.File(t, "client.pem", pair.Certificate), testcerts.File(t, "client.key", pair.Key)
	foreignKey := testcerts.File(t, "other.key", other.Key)
	password := testcerts.File(t, "password", []byte(secret+"\n"))
	for _, c := range []struct {
		name string
		args []string
		want [][]string
	}{
		{"nothing", nil, nil},
		{"all of TLS", []string{"--kafka-tls", "--kafka-tls-cert", certificate, "--kafka-tls-key", key, "--kafka-tls-server-name=kafka"}, nil},
		{"all of SASL", []string{"--kafka-sasl-mechanism=plain", "--kafka-sasl-username=u", "--kafka-sasl-password-file", password}, nil},
		{"files without TLS", []string{"--kafka-tls-cert", certificate, "--kafka-tls-key", key, "--kafka-tls=false"}, [][]string{
			{"--kafka-tls-cert", certificate, "without --kafka-tls:"}, {"--kafka-tls-key", "without --kafka-tls:"},
		}},
		{"certificate without key", []string{"--kafka-tls", "--kafka-tls-cert", certificate}, [][]string{{"--kafka-tls-cert", certificate, "without --kafka-tls-key", "example /"}}},
		{"key without certificate", []string{"--kafka-tls", "--kafka-tls-key", key}, [][]string{{"--kafka-tls-key", "without --kafka-tls-cert"}}},
		{"another's key", []string{"--kafka-tls", "--kafka-tls-cert", certificate, "--kafka-tls-key", foreignKey}, [][]string{{"--kafka-tls-cert", certificate, "--kafka-tls-key", foreignKey, "no pair"}}},
		{"two passwords", []string{"--kafka-sasl-mechanism=plain", "--kafka-sasl-username=u", "--kafka-sasl-password", secret, "--kafka-sasl-password-file", password},
			[][]string{{"--kafka-sasl-password (value hidden)", "--kafka-sasl-password-file", "leave one"}}},
		{"mechanism alone", []string{"--kafka-sasl-mechanism=scram-sha-256"}, [][]string{{"--kafka-sasl-mechanism", "scram-sha-256", "without --kafka-sasl-username"}}},
		{"name without password", []string{"--kafka-sasl-mechanism=plain", "--kafka-sasl-username=u"}, [][]string{{"--kafka-sasl-username", `"u"`, "without --kafka-sasl-password-file"}}},
		{"password without mechanism", []string{"--kafka-sasl-password", secret, "--kafka-sasl-username=u"}, [][]string{
			{"--kafka-sasl-username", "without --kafka-sasl-mechanism", "example scram-sha-512"}, {"--kafka-sasl-password (value hidden)", "without --kafka-sasl-mechanism"},
		}},
		{"password without name", []string{"--kafka-sasl-mechanism=plain", "--kafka-sasl-password", secret}, [][]string{
			{"--kafka-sasl-mechanism", "without --kafka-sasl-username"}, {"--kafka-sasl-password (value hidden)", "without --kafka-sasl-username"},
		}},
		{"two passwords of the database", []string{"--database-url", "postgres://u:" + secret + "@localhost/d", "--database-password-file", password},
			[][]string{{"--database-url (value hidden)", "--database-password-file", "leave one"}}},
		{"batches larger than what is in flight", []string{"--batch-bytes=5000000", "--bytes-in-flight=4500000"}, [][]string{{`--batch-bytes "5000000"`, `--bytes-in-flight "4500000"`, "example 900000"}}},
		{"saves rarer than the lease", []string{"--lease=2s", "--save-every=3s"}, [][]string{{`--save-every "3s"`, `--lease "2s"`, "example 20ms"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := relayProblems(t, append([]string{"--database-url=postgres://localhost/d", "--kafka-brokers=localhost"}, c.args...)...)
			require.Len(t, got, len(c.want), "%q", got)
			for i, parts := range c.want {
				require.True(t, containsAll(got[i], parts), "%q in %q", parts, got[i])
			}
			require.NotContains(t, strings.Join(got, "\n"), secret)
		})
	}
}

// relayProblems is what "tandem relay" finds wrong with its flags.
func relayProblems(t *testing.T, args ...string) []string {
	t.Helper()
	var o relayOptions
	return problemsOf(t, &o, args...)
}

func problemsOf(t *testing.T, o *relayOptions, args ...string) []string {
	t.Helper()
	cmd := newRelay(system{})
	settings := o.settings()
	settings = withAlso(settings)
	require.NoError(t, cmd.ParseFlags(args))
	for _, s := range settings {
		s.text = cmd.Flags().Lookup(s.name).Value.String()
	}
	return load(cmd, nil, settings)
}

func TestFilesThatAreOfNoUseAreReportedAtTheStart(t *testing.T) {
	t.Parallel()
	ca := testcerts.NewAuthority(t, "ours")
	pair, old := ca.Issue(t, "relay"), ca.IssueUntil(t, time.Now().Add(-time.Hour), "relay")
	certificate, key := testcerts.File(t, "client.pem", pair.Certificate), testcerts.File(t, "client.key", pair.Key)
	expiredFile, oldKey := testcerts.File(t, "old.pem", old.Certificate), testcerts.File(t, "old.key", old.Key)
	missing, empty := filepath.Join(t.TempDir(), "missing.pem"), testcerts.File(t, "empty", []byte("\n"))
	damaged := testcerts.File(t, "damaged.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	lines := testcerts.File(t, "lines", []byte("one\ntwo\n"))
	database := func(parameters string) string {
		return "--database-url=postgres://localhost/d?sslmode=verify-full&" + parameters
	}
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"CA missing", []string{"--kafka-tls-ca", missing}, []string{"--kafka-tls-ca", missing, "no such file", "a PEM file", "example /"}},
		{"CA without certificates", []string{"--kafka-tls-ca", key}, []string{"--kafka-tls-ca", key, "no certificate"}},
		{"CA damaged", []string{"--kafka-tls-ca", damaged}, []string{"--kafka-tls-ca", damaged, "damaged"}},
		{"CA expired", []string{"--kafka-tls-ca", expiredFile}, []string{"--kafka-tls-ca", expiredFile, "expired at"}},
		{"certificate expired", []string{"--kafka-tls-cert", expiredFile, "--kafka-tls-key", oldKey}, []string{"--kafka-tls-cert", expiredFile, "expired at"}},
		{"key missing", []string{"--kafka-tls-cert", certificate, "--kafka-tls-key", missing}, []string{"--kafka-tls-key", missing, "no such file"}},
		{"password empty", []string{"--kafka-sasl-mechanism=plain", "--kafka-sasl-username=u", "--kafka-sasl-password-file", empty}, []string{"--kafka-sasl-password-file", empty, "is empty"}},
		{"password of two lines", []string{"--database-password-file", lines}, []string{"--database-password-file", lines, "more than one line"}},
		{"database's CA missing", []string{database("sslrootcert=" + missing)}, []string{"--database-url (value hidden)", missing, "no such file"}},
		{"database's CA empty", []string{database("sslrootcert=" + key)}, []string{"--database-url", key, "no certificate"}},
		{"database's certificate expired", []string{database("sslcert=" + expiredFile + "&sslkey=" + oldKey)}, []string{"--database-url", expiredFile, "expired at"}},
		{"database's key of another", []string{"--database-url=host=localhost sslcert='" + certificate + "' sslkey=" + oldKey}, []string{"--database-url", certificate, oldKey, "no pair"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := relayProblems(t, append([]string{"--kafka-tls", "--database-url=postgres://localhost/d", "--kafka-brokers=localhost"}, c.args...)...)
			require.NotEmpty(t, got)
			require.True(t, containsAll(got[0], c.want), "%q in %q", c.want, got)
			r := tandem(t, nil, append([]string{"relay", "--kafka-tls", "--database-url=postgres://localhost/d", "--kafka-brokers=localhost"}, c.args...)...)
			require.Equal(t, exitUsage, r.code)
		})
	}
}

// What replaces a file is used by the next connection.
func TestFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	ca, later := testcerts.NewAuthority(t, "ours"), testcerts.NewAuthority(t, "the next")
	pair := ca.Issue(t, "relay")
	o := kafkaOptions{
		authorities: testcerts.File(t, "ca.pem", ca.PEM), certificate: testcerts.File(t, "client.pem", pair.Certificate),
		key: testcerts.File(t, "client.key", pair.Key), passwordFile: testcerts.File(t, "password", []byte("before\r\n")),
	}
	config, err := o.newTLS()
	require.NoError(t, err)
	require.True(t, config.RootCAs.Equal(ca.Pool()))
	require.Equal(t, pair.TLS(t), config.Certificates[0])
	password, err := o.readPassword()
	require.NoError(t, err)
	require.Equal(t, "before", password)

	renewed := later.Issue(t, "relay")
	for file, content := range map[string][]byte{o.authorities: later.PEM, o.certificate: renewed.Certificate, o.key: renewed.Key, o.passwordFile: []byte("after")} {
		require.NoError(t, os.WriteFile(file, content, 0o600))
	}
	config, err = o.newTLS()
	require.NoError(t, err)
	require.True(t, config.RootCAs.Equal(later.Pool()))
	require.Equal(t, renewed.TLS(t), config.Certificates[0])
	password, err = o.readPassword()
	require.NoError(t, err)
	require.Equal(t, "after", password)

	require.NoError(t, os.Remove(o.authorities))
	_, err = o.newTLS()
	require.ErrorContains(t, err, o.authorities)
	require.NoError(t, os.Remove(o.passwordFile))
	_, err = o.readPassword()
	require.ErrorContains(t, err, o.passwordFile)
}

func TestTheDatabasesFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	ca, later := testcerts.NewAuthority(t, "ours"), testcerts.NewAuthority(t, "the next")
	authorities, file := testcerts.File(t, "ca.pem", ca.PEM), testcerts.File(t, "password", []byte("before"))
	var o relayOptions
	require.Empty(t, problemsOf(t, &o, "--kafka-brokers=localhost", "--database-password-file", file,
		"--database-url=postgres://u@localhost/d?sslmode=verify-full&sslrootcert="+authorities))
	require.Equal(t, "before", o.database.Password)

	require.NoError(t, os.WriteFile(authorities, later.PEM, 0o600))
	require.NoError(t, os.WriteFile(file, []byte("after"), 0o600))
	connection := o.database.Copy()
	require.NoError(t, readAnew(o.passwordFile)(t.Context(), connection))
	require.Equal(t, "after", connection.Password)
	require.True(t, connection.TLSConfig.RootCAs.Equal(later.Pool()))

	require.NoError(t, os.WriteFile(authorities, nil, 0o600))
	require.ErrorContains(t, readAnew(o.passwordFile)(t.Context(), connection), authorities)
}

func TestLoginNamesItsMechanism(t *testing.T) {
	t.Parallel()
	for mechanism, name := range map[string]string{saslPlain: "PLAIN", "scram-sha-256": scram.SHA256.Name(), "scram-sha-512": scram.SHA512.Name()} {
		l := &login{mechanism: mechanism, username: "u", password: func() (string, error) { return "p", nil }}
		require.Equal(t, name, l.Name())
		_, first, err := l.Start(t.Context())
		require.NoError(t, err)
		require.Contains(t, string(first), "u")
	}
}

func TestParametersOfBothForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"postgres://u:p%40w@h/d":             "p@w",
		"postgres://u@h/d?password=p%40w":    "p@w",
		"host=h password=p@w":                "p@w",
		"password = 'p w' host=h":            "p w",
		"postgres://u@h/d?sslpassword=other": "",
		"host=h sslpassword=other":           "",
		"postgres://u@h/d":                   "",
		"host=h user=u":                      "",
	} {
		require.Equal(t, want, parameter(text, "password"), text)
		_, err := pgx.ParseConfig(text)
		require.NoError(t, err)
	}
}
