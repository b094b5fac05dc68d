package localkafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tandem-outbox/tandem/internal/localproc"
	"github.com/tandem-outbox/tandem/internal/maven"
)

const (
	startTimeout = 90 * time.Second
	stopTimeout  = 30 * time.Second
	pollEvery    = 50 * time.Millisecond
	askTimeout   = 2 * time.Second
	heap         = "-Xmx512m"
	nodeID       = 1
	oldestJava   = 17 // what the brokers of Kafka 4 need
)

// ErrUnavailable says that this machine lacks what Kafka needs.
var ErrUnavailable = errors.New("localkafka: no Kafka to start")

// Options says which server to start. The zero value is a good one.
type Options struct {
	// Dir is where the server's own directory is made. Defaults to the system's
	// temporary directory.
	Dir string
	// Properties are added to server.properties and win over the ones made here.
	Properties map[string]string
	// Listeners are further ones: a name for each, and its security protocol
	// (SSL, SASL_SSL, SASL_PLAINTEXT). Server.Listener tells their addresses.
	Listeners map[string]string
}

// Server is a Kafka of our own. Its methods may be called from any goroutine;
// those that start and stop it wait for each other.
type Server struct {
	java      string
	classPath string
	dir       *localproc.Dir
	port      int
	listeners map[string]string // addresses of the further ones, by their names

	mu      sync.Mutex
	process *localproc.Process
}

// Start makes and starts a server. The context bounds the start; the server
// lives until Stop, or until this process ends.
func Start(ctx context.Context, o Options) (*Server, error) {
	s := &Server{}
	var err error
	if s.java, err = maven.Java(ctx, oldestJava); err == nil {
		s.classPath, err = maven.ClassPath(ctx, "kafka", "integration", "kafka", "pom.xml")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w; install Java %d or newer and Maven "+
			"(Debian and Ubuntu: apt-get install default-jre-headless maven), or start Kafka yourself and give its address",
			ErrUnavailable, err, oldestJava)
	}
	if s.port, err = localproc.FreePort(); err != nil {
		return nil, err
	}
	controllerPort, err := localproc.FreePort()
	if err != nil {
		return nil, err
	}
	if s.dir, err = localproc.MakeDir(o.Dir, "tandem-kafka-"); err != nil {
		return nil, err
	}
	settings := SingleNode(s.Brokers()[0], s.Brokers()[0], fmt.Sprintf("127.0.0.1:%d", controllerPort))
	settings["log.dirs"] = s.path("data")
	if err := s.listen(o.Listeners, settings); err != nil {
		s.dir.Remove()
		return nil, err
	}
	maps.Copy(settings, o.Properties)
	if err := s.format(ctx, properties(settings)); err != nil {
		s.dir.Remove()
		return nil, err
	}
	if err := s.launch(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// listen gives each further listener a port.
func (s *Server) listen(protocols, settings map[string]string) error {
	s.listeners = map[string]string{}
	for name, protocol := range protocols {
		port, err := localproc.FreePort()
		if err != nil {
			return err
		}
		s.listeners[name] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		address := fmt.Sprintf(",%s://%s", name, s.listeners[name])
		settings["listeners"] += address
		settings["advertised.listeners"] += address
		settings["listener.security.protocol.map"] += fmt.Sprintf(",%s:%s", name, protocol)
	}
	return nil
}

// Listener is the address of one of Options.Listeners.
func (s *Server) Listener(name string) string { return s.listeners[name] }

// Brokers are the server's addresses: one.
func (s *Server) Brokers() []string {
	return []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))}
}

// Kill ends the server with SIGKILL.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.Kill()
}

// Restart starts the server again with the same data on the same port; one that
// is still running is first shut down cleanly.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	stopping, cancel := context.WithTimeoutCause(ctx, stopTimeout, fmt.Errorf("localkafka: no clean shutdown within %s", stopTimeout))
	defer cancel()
	if err := s.process.Wait(stopping); err != nil {
		return err
	}
	return s.launch(ctx)
}

// Stop ends the server and removes its directory. As its data go with it, it is
// not asked to shut down cleanly, which takes seconds.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.Kill()
	}
	s.dir.Remove()
}

func (s *Server) path(name string) string { return filepath.Join(s.dir.Path, name) }

// jvm returns the arguments that run one of Kafka's programs.
func (s *Server) jvm(class string, args ...string) []string {
	return append([]string{heap, "-cp", s.classPath, "-Dorg.apache.logging.log4j.level=WARN", class}, args...)
}

func (s *Server) format(ctx context.Context, properties string) error {
	if err := os.WriteFile(s.path("server.properties"), []byte(properties), 0o644); err != nil {
		return err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	// In one word, because an id may begin with a dash.
	cmd := exec.CommandContext(ctx, s.java, s.jvm("kafka.tools.StorageTool", "format",
		"--cluster-id="+base64.RawURLEncoding.EncodeToString(id), "--config", s.path("server.properties"))...)
	localproc.Prepare(cmd, nil)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("localkafka: format the storage: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// launch starts the process and waits until it answers. The caller holds mu, or
// nobody else knows the server yet.
func (s *Server) launch(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("localkafka: Kafka did not answer within %s", startTimeout))
	defer cancel()
	s.process, err = localproc.Start(localproc.Command{
		Path:    s.java,
		Args:    s.jvm("kafka.Kafka", s.path("server.properties")),
		Dir:     s.dir.Path,
		LogFile: s.path("server.log"),
	})
	if err != nil {
		return fmt.Errorf("localkafka: %w", err)
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !s.answers(ctx) {
		select {
		case <-tick.C:
		case <-s.process.Exited():
			return fmt.Errorf("localkafka: Kafka ended while starting (%s):\n%s", s.process.Ending(), s.process.LogTail(15))
		case <-ctx.Done():
			return fmt.Errorf("%w; its log ends:\n%s", context.Cause(ctx), s.process.LogTail(15))
		}
	}
	return nil
}

// answers tells whether the broker is ready for clients: registered with the
// controller, so that it names itself in its metadata, and leading what it holds.
func (s *Server) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(s.Brokers()...), Timeout: askTimeout, Transport: transport}
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil || len(metadata.Brokers) != 1 {
		return false
	}
	for _, topic := range metadata.Topics {
		for _, partition := range topic.Partitions {
			if partition.Error != nil || partition.Leader.ID != nodeID {
				return false
			}
		}
	}
	return true
}
