package integration_test

import (
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tandem-outbox/tandem/internal/localkafka"
	"github.com/tandem-outbox/tandem/internal/testcerts"
	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

const (
	scramPassword = "scr4m-passw0rd"
	plainPassword = "pl4in-passw0rd"
)

// secureKafka is a broker with a listener for each way to be secure, where only
// those may do something who have been allowed to. The test itself comes by the
// plain listener and may do everything.
type secureKafka struct {
	*localkafka.Server
	ca     *testcerts.Authority
	caFile string
	admin  *kadm.Client
}

func newSecureKafka(t *testing.T) *secureKafka {
	t.Helper()
	ca := testcerts.NewAuthority(t, "ours")
	pair := ca.Issue(t, "kafka", "127.0.0.1", "localhost")
	k := &secureKafka{ca: ca, caFile: testcerts.File(t, "ca.pem", ca.PEM)}
	k.Server = testservers.OwnKafkaWith(t, localkafka.Options{
		// The last two need a client certificate, and a login.
		Listeners: map[string]string{"TLS": "SSL", "MUTUAL": "SSL", "LOGIN": "SASL_SSL"},
		Properties: map[string]string{
			"ssl.keystore.type":                                           "PEM",
			"ssl.keystore.location":                                       testcerts.File(t, "kafka.pem", slices.Concat(pair.Key, pair.Certificate)),
			"ssl.truststore.type":                                         "PEM",
			"ssl.truststore.location":                                     k.caFile,
			"listener.name.mutual.ssl.client.auth":                        "required",
			"listener.name.login.scram-sha-256.connections.max.reauth.ms": "1000",
			"listener.name.login.sasl.enabled.mechanisms":                 "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
			"listener.name.login.scram-sha-256.sasl.jaas.config":          "org.apache.kafka.common.security.scram.ScramLoginModule required;",
			"listener.name.login.scram-sha-512.sasl.jaas.config":          "org.apache.kafka.common.security.scram.ScramLoginModule required;",
			"listener.name.login.plain.sasl.jaas.config":                  `org.apache.kafka.common.security.plain.PlainLoginModule required user_plainly="` + plainPassword + `";`,
			"authorizer.class.name":                                       "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"super.users":                                                 "User:ANONYMOUS",
		},
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers()...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	k.admin = kadm.NewClient(client)
	return k
}

// password makes the user, or changes its password.
func (k *secureKafka) password(t *testing.T, user, password string) {
	t.Helper()
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		done, err := k.admin.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: user, Mechanism: mechanism, Iterations: 4096, Password: password}})
		require.NoError(t, err)
		require.NoError(t, done.Error())
	}
}

func writing(principal, topic string) *kadm.ACLBuilder {
	return kadm.NewACLs().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpWrite, kadm.OpDescribe).Allow("User:" + principal).AllowHosts("*")
}

// allow lets a principal write to the topic.
func (k *secureKafka) allow(t *testing.T, principal, topic string) {
	t.Helper()
	done, err := k.admin.CreateACLs(t.Context(), writing(principal, topic))
	require.NoError(t, err)
	for _, one := range done {
		require.NoError(t, one.Err)
	}
}

// forbid takes that back.
func (k *secureKafka) forbid(t *testing.T, principal, topic string) {
	t.Helper()
	done, err := k.admin.DeleteACLs(t.Context(), writing(principal, topic))
	require.NoError(t, err)
	for _, one := range done {
		require.NoError(t, one.Err)
		require.Len(t, one.Deleted, 1)
	}
}

// shop has a topic there that its principals may write to.
func (k *secureKafka) shop(t *testing.T, principals ...string) *shop {
	t.Helper()
	topic := "t-" + rand.Text()
	_, err := k.admin.CreateTopic(t.Context(), 1, 1, nil, topic)
	require.NoError(t, err)
	for _, principal := range principals {
		k.allow(t, principal, topic)
	}
	return openShop(t, testservers.Migrated(t), k.Brokers(), topic)
}

// untilEmpty runs a relay until the log is empty, or it gives up, and returns
// all that it has said.
func (s *shop) untilEmpty(t *testing.T, binary, address string, flags ...string) (output string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"relay", "--until-empty", "--start-timeout=1h", "--kafka-brokers", address}, flags...)...)
	cmd.Env = append(testprograms.Environ(), "TANDEM_DATABASE_URL="+asRelay(t, s.url))
	out, err := cmd.CombinedOutput()
	require.NoError(t, ctx.Err(), "%s", out)
	return string(out), err == nil
}

func TestSecureKafka(t *testing.T) {
	t.Parallel()
	k := newSecureKafka(t)
	binary := program(t, "tandem")
	t.Run("undisturbed", func(t *testing.T) {
		t.Run("ways in", func(t *testing.T) { k.waysIn(t, binary) })
		t.Run("password", func(t *testing.T) { k.renewPassword(t, binary) })
		t.Run("forbidden topic", func(t *testing.T) { k.forbidTopic(t, binary) })
	})
	t.Run("certificate", func(t *testing.T) { k.renewCertificate(t, binary) })
}

// waysIn tries each listener with what it wants, and with something else.
func (k *secureKafka) waysIn(t *testing.T, binary string) {
	t.Parallel()
	k.password(t, "relay", scramPassword)
	pair := k.ca.Issue(t, "client")
	certificate, key := testcerts.File(t, "client.pem", pair.Certificate), testcerts.File(t, "client.key", pair.Key)
	otherCA := testcerts.File(t, "other.pem", testcerts.NewAuthority(t, "another").PEM)
	trust := []string{"--kafka-tls", "--kafka-tls-ca", k.caFile}
	wrong := testcerts.File(t, "wrong", []byte("wr0ng-"+scramPassword))
	right := testcerts.File(t, "right", []byte(scramPassword+"\n"))
	plain := testcerts.File(t, "plain", []byte(plainPassword))
	login := func(mechanism, user, file string) []string {
		return append(trust[:3:3], "--kafka-sasl-mechanism", mechanism, "--kafka-sasl-username", user, "--kafka-sasl-password-file", file)
	}
	for _, c := range []struct {
		name     string
		listener string
		flags    []string
		refusal  []string // none where it works
	}{
		{"TLS", "TLS", trust, nil},
		{"TLS by another name", "TLS", append(trust[:3:3], "--kafka-tls-server-name=localhost"), nil},
		{"a CA of somebody else", "TLS", []string{"--kafka-tls", "--kafka-tls-ca", otherCA}, []string{"not trusted", "CA"}},
		{"a name of somebody else", "TLS", append(trust[:3:3], "--kafka-tls-server-name=kafka.example.com"), []string{"kafka.example.com", "server name"}},
		{"a client certificate", "MUTUAL", append(trust[:3:3], "--kafka-tls-cert", certificate, "--kafka-tls-key", key), nil},
		{"no client certificate", "MUTUAL", trust, []string{"refuse", "client certificate"}},
		{"SCRAM-SHA-256", "LOGIN", login("scram-sha-256", "relay", right), nil},
		{"SCRAM-SHA-512", "LOGIN", login("scram-sha-512", "relay", right), nil},
		{"PLAIN", "LOGIN", login("plain", "plainly", plain), nil},
		{"a wrong password by SCRAM", "LOGIN", login("scram-sha-512", "relay", wrong), []string{"refuse this client", "password"}},
		{"a wrong password in clear text", "LOGIN", login("plain", "plainly", wrong), []string{"refuse this client", "password"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := k.shop(t, "relay", "plainly", "CN=client")
			require.NoError(t, s.place(t.Context(), []string{"k"}, 0, true))
			output, ok := s.untilEmpty(t, binary, k.Listener(c.listener), c.flags...)
			require.Equal(t, c.refusal == nil, ok, output)
			lines := strings.Split(strings.TrimSpace(output), "\n")
			for _, part := range c.refusal {
				require.Contains(t, lines[len(lines)-1], part)
			}
			if ok {
				s.read(t)
			}
			require.NotContains(t, output, "passw0rd")
		})
	}
}

// forbidTopic wants a topic that may not be written to wait alone, and flow once
// it may.
func (k *secureKafka) forbidTopic(t *testing.T, binary string) {
	t.Parallel()
	k.password(t, "limited", scramPassword)
	s, forbidden := k.shop(t, "limited"), k.shop(t)
	forbidden = openShop(t, s.url, s.brokers, forbidden.topic) // in the same database
	for _, each := range []*shop{forbidden, s, forbidden, s} {
		require.NoError(t, each.place(t.Context(), []string{"k"}, 0, true))
	}
	s.startRelay(t, binary, "--kafka-brokers", k.Listener("LOGIN"), "--topic-timeout=1s", "--kafka-tls", "--kafka-tls-ca", k.caFile,
		"--kafka-sasl-mechanism=scram-sha-512", "--kafka-sasl-username=limited", "--kafka-sasl-password", scramPassword)
	s.read(t)
	require.Eventually(t, func() bool {
		return s.int(t, `SELECT count(*) FROM tandem.deferred WHERE topic = $1`, forbidden.topic) == 2
	}, time.Minute, 20*time.Millisecond, "its events are not set aside")
	require.NoError(t, forbidden.place(t.Context(), []string{"k"}, 0, true))
	require.NoError(t, s.place(t.Context(), []string{"k"}, 0, true))
	s.read(t)
	require.Zero(t, forbidden.inTopic(t))

	k.allow(t, "limited", forbidden.topic)
	began := time.Now()
	require.Zero(t, forbidden.read(t).repeats)
	t.Logf("it flows %v after it was allowed", time.Since(began))
	require.Eventually(t, func() bool { return s.int(t, `SELECT count(*) FROM tandem.deferred`) == 0 }, time.Minute, 20*time.Millisecond)
}

// renewPassword changes what a relay logs in with while it runs. No login lasts
// longer than a second: the broker then closes the connection.
func (k *secureKafka) renewPassword(t *testing.T, binary string) {
	t.Parallel()
	k.password(t, "changing", scramPassword)
	s := k.shop(t, "changing")
	file := testcerts.File(t, "password", []byte(scramPassword))
	r := s.startRelay(t, binary, "--kafka-brokers", k.Listener("LOGIN"), "--kafka-tls", "--kafka-tls-ca", k.caFile,
		"--kafka-sasl-mechanism=scram-sha-256", "--kafka-sasl-username=changing", "--kafka-sasl-password-file", file)
	require.NoError(t, s.place(t.Context(), []string{"k"}, 0, true))
	s.awaitTopic(t, 1)

	k.password(t, "changing", "n3w-passw0rd")
	require.NoError(t, os.WriteFile(file, []byte("n3w-passw0rd"), 0o600))
	stop := s.steadily(t)
	s.awaitTopic(t, s.inTopic(t)+400) // takes two seconds
	stop()
	s.read(t)
	log, err := os.ReadFile(r.log)
	require.NoError(t, err)
	require.NotContains(t, string(log), "passw0rd")
}

// renewCertificate replaces a client certificate while its relay runs, and takes
// the rights of the old one away. The connection after a restart of the broker
// is one with the new.
func (k *secureKafka) renewCertificate(t *testing.T, binary string) {
	s := k.shop(t, "CN=first", "CN=second")
	pair, renewed := k.ca.Issue(t, "first"), k.ca.Issue(t, "second")
	certificate, key := testcerts.File(t, "client.pem", pair.Certificate), testcerts.File(t, "client.key", pair.Key)
	s.startRelay(t, binary, "--kafka-brokers", k.Listener("MUTUAL"), "--kafka-tls", "--kafka-tls-ca", k.caFile, "--kafka-tls-cert", certificate, "--kafka-tls-key", key)
	require.NoError(t, s.place(t.Context(), []string{"k"}, 0, true))
	s.awaitTopic(t, 1)

	require.NoError(t, os.WriteFile(certificate, renewed.Certificate, 0o600))
	require.NoError(t, os.WriteFile(key, renewed.Key, 0o600))
	k.forbid(t, "CN=first", s.topic)
	require.NoError(t, k.Restart(t.Context()))
	require.NoError(t, s.place(t.Context(), []string{"k"}, 0, true))
	s.read(t)
}
