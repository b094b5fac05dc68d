package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestRelayUntilEmptyPrintsItsCounts(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	add(t, database, "orders", "1", "2", "3")
	env := environment(database, broker(t))
	r := tandem(t, env, "relay", "--until-empty")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Regexp(t, `^published 3 events in \d+ requests \(0 repeated\), gave 0 leaves of the log back\n$`, r.stdout)

	r = tandem(t, env, "relay", "--until-empty", "--log-format=json", "--log-level=error")
	require.Equal(t, exitDone, r.code, r.stderr)
	require.Regexp(t, `^published 0 events`, r.stdout)
	require.Empty(t, r.stderr)
}

// running is a relay in this process.
type running struct {
	stderr *output
	stop   context.CancelFunc
	code   chan int
}

func start(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	r := &running{stderr: newOutput(), code: make(chan int, 1)}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.code <- run(ctx, args, system{env: env, stdout: io.Discard, stderr: r.stderr})
	}()
	t.Cleanup(func() { r.stop(); <-done })
	return r
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

var listening = regexp.MustCompile(`msg="serving health" address=(\S+)`)

func TestRelayServesHealthForWorkerAndStandby(t *testing.T) {
	t.Parallel()
	env := environment(testservers.Migrated(t), broker(t), "TANDEM_HTTP_ADDR=127.0.0.1:0")
	worker := start(t, env, "relay")
	address := listening.FindStringSubmatch(worker.stderr.await(t, "msg=relaying"))[1]
	code, text := get(t, "http://"+address+"/readyz")
	require.Equal(t, 200, code)
	require.Equal(t, "relaying\n", text)
	code, _ = get(t, "http://"+address+"/healthz")
	require.Equal(t, 200, code)
	code, _ = get(t, "http://"+address+"/")
	require.Equal(t, 404, code)

	standby := start(t, env, "relay")
	other := listening.FindStringSubmatch(standby.stderr.await(t, "standing by"))[1]
	code, text = get(t, "http://"+other+"/readyz")
	require.Equal(t, 200, code)
	require.Contains(t, text, "standby")

	worker.stop()
	require.Equal(t, exitDone, <-worker.code)
	standby.stderr.await(t, "msg=relaying")
	_, text = get(t, "http://"+other+"/readyz")
	require.Equal(t, "relaying\n", text)
}

func TestRelayIsNotReadyBeforeItHasReachedEverything(t *testing.T) {
	t.Parallel()
	r := start(t, environment(testservers.Migrated(t), nobody(t), "TANDEM_HTTP_ADDR=127.0.0.1:0"), "relay")
	address := listening.FindStringSubmatch(r.stderr.await(t, "cannot reach the broker"))[1]
	code, text := get(t, "http://"+address+"/readyz")
	require.Equal(t, 503, code)
	require.Equal(t, "starting\n", text)
	code, _ = get(t, "http://"+address+"/healthz")
	require.Equal(t, 200, code)
	r.stop()
	require.Equal(t, exitDone, <-r.code, "told to stop while it waits")
}

func TestRelaySaysThatTheHealthAddressIsTaken(t *testing.T) {
	t.Parallel()
	kafka := broker(t)
	r := tandem(t, environment(testservers.Migrated(t), kafka), "relay", "--http-addr", kafka)
	r.oneLineOf(t, kafka, "--http-addr")
}

// process is the program in a process of its own, for what signals do.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
}

func startProcess(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], args...), stdout: newOutput(), stderr: newOutput()}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = append(env, asProgram+"=1"), p.stdout, p.stderr
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	return p
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

func TestTheFirstSignalDrains(t *testing.T) {
	t.Parallel()
	database := testservers.Migrated(t)
	p := startProcess(t, environment(database, broker(t)), "relay")
	p.stderr.await(t, "msg=relaying")
	add(t, database, "orders", "1")
	p.signal(t, syscall.SIGTERM)
	require.NoError(t, p.cmd.Wait(), p.stderr)
	require.Empty(t, p.stdout.String())
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	require.Contains(t, lines[len(lines)-1], "is saved, and the lease given up")
	free := query[bool](t, database, `SELECT expires_at <= now() FROM tandem.lease`)
	require.True(t, free, "the lease was given up")
}

// A broker that has too few replicas, for ever, holds the drain up; the second
// signal ends it.
func TestTheSecondSignalCuts(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	asked := make(chan struct{}, 1)
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		select {
		case asked <- struct{}{}:
		default:
		}
		return nil, nil, true // no answer
	})
	database := testservers.Migrated(t)
	p := startProcess(t, environment(database, cluster.ListenAddrs()[0]), "relay", "--drain-timeout=1h", "--log-level=debug")
	p.stderr.await(t, "msg=relaying")
	add(t, database, "orders", "1")
	<-asked
	p.signal(t, syscall.SIGINT)
	p.stderr.await(t, "draining")
	p.signal(t, syscall.SIGINT)
	var ended *exec.ExitError
	require.ErrorAs(t, p.cmd.Wait(), &ended)
	require.Equal(t, exitFailed, ended.ExitCode(), p.stderr)
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	require.Contains(t, lines[len(lines)-1], "cut short", fmt.Sprint(lines))
}

// failingWith answers every partition of a request with an error.
func failingWith(request *kmsg.ProduceRequest, code int16) kmsg.Response {
	response := request.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range request.Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic = topic.Topic
		for _, partition := range topic.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition = partition.Partition
			p.ErrorCode = code
			t.Partitions = append(t.Partitions, p)
		}
		response.Topics = append(response.Topics, t)
	}
	return response
}
