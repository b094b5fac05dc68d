package relaykafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// temporary asks an error of Check the way the relay does.
func temporary(t *testing.T, err error) bool {
	t.Helper()
	var asked interface{ Temporary() bool }
	require.ErrorAs(t, err, &asked)
	return asked.Temporary()
}

func TestCheck(t *testing.T) {
	require.NoError(t, newPublisher(t, newCluster(t).ListenAddrs()).Check(t.Context()))
}

func TestCheckOneBrokerOfTwoIsEnough(t *testing.T) {
	addrs := append([]string{freeAddress(t)}, newCluster(t).ListenAddrs()...)
	require.NoError(t, newPublisher(t, addrs).Check(t.Context()))
}

// A broker that does not tell its limit is believed to take what it gets.
func TestCheckTheSizeOfBatches(t *testing.T) {
	cluster := newCluster(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "500000"}))
	with := func(bytes int) func(*Config) { return func(c *Config) { c.BatchBytes = bytes } }
	require.NoError(t, newPublisher(t, cluster.ListenAddrs(), with(500_000)).Check(t.Context()))
	err := newPublisher(t, cluster.ListenAddrs(), with(500_001)).Check(t.Context())
	require.False(t, temporary(t, err))
	require.ErrorContains(t, err, "500001")
	require.ErrorContains(t, err, "message.max.bytes is 500000")

	cluster.ControlKey(int16(kmsg.DescribeConfigs), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.DescribeConfigsResponse)
		response.Resources = []kmsg.DescribeConfigsResponseResource{{ErrorCode: kerr.ClusterAuthorizationFailed.Code, ResourceType: kmsg.ConfigResourceTypeBroker}}
		return response, nil, true
	})
	require.NoError(t, newPublisher(t, cluster.ListenAddrs(), with(500_001)).Check(t.Context()))
}

func TestCheckUnreachable(t *testing.T) {
	addr := freeAddress(t)
	err := newPublisher(t, []string{addr}).Check(t.Context())
	require.True(t, temporary(t, err))
	require.ErrorContains(t, err, "the brokers at "+addr+" do not answer")
}

// freeAddress is one where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestCheckPassword(t *testing.T) {
	scramWith := func(password string) func(*Config) {
		mechanism, err := scram.Mechanism(scram.SHA256, "relay", password)
		require.NoError(t, err)
		return func(c *Config) { c.SASL = mechanism }
	}
	cluster := newCluster(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "relay", "right"), kfake.Superuser("PLAIN", "relay", "right"))
	addrs := cluster.ListenAddrs()
	require.NoError(t, newPublisher(t, addrs, scramWith("right")).Check(t.Context()))
	require.NoError(t, newPublisher(t, addrs, func(c *Config) { c.SASL = plain.Mechanism{Username: "relay", Password: "right"} }).Check(t.Context()))

	for name, change := range map[string]func(*Config){
		"scram": scramWith("s3cret"),
		"plain": func(c *Config) { c.SASL = plain.Mechanism{Username: "relay", Password: "s3cret"} },
	} {
		t.Run(name, func(t *testing.T) { // this broker hangs up
			err := newPublisher(t, addrs, change).Check(t.Context())
			require.ErrorContains(t, err, "password")
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
	t.Run("said", func(t *testing.T) { // Apache's broker says so
		cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			response := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			response.ErrorCode = kerr.SaslAuthenticationFailed.Code
			response.ErrorMessage = kmsg.StringPtr("Authentication failed: Invalid username or password")
			return response, nil, true
		})
		err := newPublisher(t, addrs, scramWith("s3cret")).Check(t.Context())
		require.False(t, temporary(t, err), "%v", err)
		require.ErrorContains(t, err, "refuse this client")
		require.NotContains(t, err.Error(), "s3cret")
	})
	t.Run("none", func(t *testing.T) {
		require.ErrorContains(t, newPublisher(t, addrs).Check(t.Context()), "SASL")
	})
}

func TestCheckTLS(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate alone
	defer server.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	secure := newCluster(t, kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates})).ListenAddrs()
	open := newCluster(t).ListenAddrs()
	with := func(c *tls.Config) func(*Config) { return func(config *Config) { config.TLS = c } }

	good := newPublisher(t, secure, with(&tls.Config{RootCAs: trusted}))
	require.NoError(t, good.Check(t.Context()))
	require.NoError(t, good.Publish(t.Context(), "orders", 0, numbered(0, 3)))

	err := newPublisher(t, secure, with(&tls.Config{})).Check(t.Context())
	require.False(t, temporary(t, err), "%v", err)
	require.ErrorContains(t, err, "not trusted")

	err = newPublisher(t, secure).Check(t.Context())
	require.ErrorContains(t, err, "TLS", "no TLS where the listener wants it")

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err = newPublisher(t, open, with(&tls.Config{RootCAs: trusted})).Check(ctx)
	require.ErrorContains(t, err, "TLS", "TLS where the listener has none")
}
