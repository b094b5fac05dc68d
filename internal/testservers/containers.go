package testservers

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/tandem-outbox/tandem/internal/localkafka"
	"github.com/tandem-outbox/tandem/internal/localproc"
)

const (
	// engineTimeout is how long a Docker engine may take to answer.
	engineTimeout = 3 * time.Second
	// containerTimeout bounds the start in a container, without the download.
	containerTimeout = 90 * time.Second
	// containerStopTimeout bounds the removal of a container.
	containerStopTimeout = 30 * time.Second

	postgresPort = "5432/tcp"
	kafkaPort    = "9092/tcp"
)

var usedContainers atomic.Bool

// engineHost is where the ports of containers are reached, or "" without a
// Docker engine that answers.
var engineHost = sync.OnceValue(func() (host string) {
	// The library panics when it finds no engine in some set-ups.
	defer func() {
		if recover() != nil {
			host = ""
		}
	}()
	log.SetDefault(log.NewNoopLogger())
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return ""
	}
	defer provider.Close()
	if provider.Health(ctx) != nil {
		return ""
	}
	host, err = provider.DaemonHost(ctx)
	if err != nil {
		return ""
	}
	return host
})

func containerPostgres(ctx context.Context) (found, error) {
	if engineHost() == "" {
		return found{}, errNotThere
	}
	image := PostgresImage
	if version := os.Getenv(PostgresVersionVariable); version != "" {
		image = "postgres:" + version
	}
	const password = "tandem"
	c, stop, err := run(ctx, image,
		testcontainers.WithExposedPorts(postgresPort),
		testcontainers.WithEnv(map[string]string{"POSTGRES_PASSWORD": password}),
		testcontainers.WithCmd("postgres", "-c", "max_connections=300"),
		// The image starts the server twice, the first time to initialise.
		testcontainers.WithWaitStrategyAndDeadline(containerTimeout,
			wait.ForLog("database system is ready to accept connections").WithOccurrence(2),
			wait.ForListeningPort(postgresPort)))
	if err != nil {
		return found{}, err
	}
	endpoint, err := c.PortEndpoint(ctx, postgresPort, "")
	if err != nil {
		stop()
		return found{}, err
	}
	address := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", password), Host: endpoint, Path: "/postgres", RawQuery: "sslmode=disable"}
	return found{address: address.String(), origin: "container " + image, stop: stop}, nil
}

func containerKafka(ctx context.Context) (found, error) {
	host := engineHost()
	if host == "" {
		return found{}, errNotThere
	}
	// A broker tells clients its own address, so the port has to be known
	// before the start.
	port, err := localproc.FreePort()
	if err != nil {
		return found{}, err
	}
	address := net.JoinHostPort(host, strconv.Itoa(port))
	_, stop, err := run(ctx, KafkaImage,
		testcontainers.WithExposedPorts(kafkaPort),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
			c.PortBindings = network.PortMap{network.MustParsePort(kafkaPort): {{
				HostIP: netip.IPv4Unspecified(), HostPort: strconv.Itoa(port),
			}}}
		}),
		testcontainers.WithEnv(kafkaEnvironment(address)),
		testcontainers.WithWaitStrategyAndDeadline(containerTimeout,
			wait.ForLog("Kafka Server started"), wait.ForListeningPort(kafkaPort)))
	if err != nil {
		return found{}, err
	}
	return found{address: address, origin: "container " + KafkaImage, stop: stop}, nil
}

// kafkaEnvironment says the settings of a single node as the image wants them:
// offsets.topic.num.partitions is KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS.
func kafkaEnvironment(advertised string) map[string]string {
	env := map[string]string{}
	settings := localkafka.SingleNode(advertised, "0.0.0.0:9092", "127.0.0.1:9093")
	for name, value := range settings {
		env["KAFKA_"+strings.ToUpper(strings.ReplaceAll(name, ".", "_"))] = value
	}
	return env
}

// run starts a container; its stop removes it, whatever became of the context.
func run(ctx context.Context, image string, options ...testcontainers.ContainerCustomizer) (testcontainers.Container, func(), error) {
	usedContainers.Store(true)
	c, err := testcontainers.Run(ctx, image, options...)
	stop := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), containerStopTimeout)
		defer cancel()
		_ = testcontainers.TerminateContainer(c, testcontainers.StopContext(ctx)) // the reaper is the net beneath
	}
	if err != nil {
		stop()
		return nil, nil, fmt.Errorf("start a container of %s: %w", image, err)
	}
	return c, stop, nil
}
