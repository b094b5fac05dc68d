package relaykafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDefaults(t *testing.T) {
	c := Config{Brokers: []string{" a:9092 "}, Source: "/s"}.withDefaults()
	require.NoError(t, c.check())
	require.Equal(t, []string{"a:9092"}, c.Brokers)
	require.Equal(t, "tandem", c.ClientID)
	require.Equal(t, 10*time.Second, c.ProduceTimeout)
	require.Equal(t, 5*time.Second, c.MetadataTTL)
	require.NotNil(t, c.Logger)
}

func TestEveryWrongFieldIsNamed(t *testing.T) {
	for field, wrong := range map[string]Config{
		"Brokers":        {},
		"Brokers[0]":     {Brokers: []string{""}},
		"Brokers[1]":     {Brokers: []string{"a", "kafka://a:1"}},
		"ProduceTimeout": {ProduceTimeout: time.Millisecond},
		"MetadataTTL":    {MetadataTTL: -1},
		"ClientID":       {ClientID: string(make([]byte, 40_000))},
	} {
		_, err := New(wrong)
		require.ErrorContains(t, err, "Config."+field+" ")
		require.ErrorContains(t, err, "Config.Source is empty", "all that is wrong is said at once")
	}
}

func TestBrokerAddresses(t *testing.T) {
	for _, good := range []string{"localhost", "localhost:9092", "10.0.0.1:1", "[::1]:9092"} {
		require.Empty(t, brokerProblem(good), good)
	}
	for _, bad := range []string{"", "a:b", "a:0", "a:70000", ":9092", "a:1,b:2", "kafka://a", "::1"} {
		require.NotEmpty(t, brokerProblem(bad), bad)
	}
}
