package deploy_test

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

const manifests = "../../deploy/kubernetes"

// decode reads the n-th document of a file. What the type does not have is an error.
func decode[T any](t *testing.T, file string, n int) *T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(manifests, file))
	require.NoError(t, err)
	documents := bytes.Split(text, []byte("\n---\n"))
	require.Greater(t, len(documents), n, file)
	object := new(T)
	require.NoError(t, yaml.UnmarshalStrict(documents[n], object), file)
	return object
}

// Every document is of a type that this test decodes.
func TestEachDocumentIsKnown(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(manifests, "*"))
	require.NoError(t, err)
	var kinds []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for n, document := range strings.Split(string(text), "\n---\n") {
			var head struct{ Kind string }
			require.NoError(t, yaml.Unmarshal([]byte(document), &head))
			kinds = append(kinds, fmt.Sprint(filepath.Base(file), n, head.Kind))
		}
	}
	require.Equal(t, []string{"config.yaml0ConfigMap", "migrate.yaml0Job", "relay.yaml0Deployment", "relay.yaml1PodDisruptionBudget"}, kinds)
}

// environment is what a container gets. Where a value is a secret's it is "secret".
func environment(t *testing.T, c corev1.Container) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, from := range c.EnvFrom {
		config := decode[corev1.ConfigMap](t, "config.yaml", 0)
		require.Equal(t, config.Name, from.ConfigMapRef.Name)
		for name, value := range config.Data {
			env[name] = value
		}
	}
	for _, v := range c.Env {
		if env[v.Name] = v.Value; v.ValueFrom != nil {
			env[v.Name] = "secret"
		}
	}
	return env
}

// settled is the environment with this test's servers in place of the examples'.
func settled(t *testing.T, env map[string]string, changes map[string]string) []string {
	t.Helper()
	list := testprograms.Environ()
	for name, value := range env {
		if changed, ok := changes[name]; ok {
			value = changed
		}
		list = append(list, name+"="+value)
	}
	for name := range changes {
		require.Contains(t, env, name)
	}
	return list
}

func program(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	// In its own module: this one has not all that it needs.
	out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-o", dir+"/", "./cmd/tandem").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return filepath.Join(dir, "tandem")
}

// The pods of both are what the strictest of the pod security standards allows.
func TestPodsAreRestricted(t *testing.T) {
	t.Parallel()
	for _, pod := range []corev1.PodSpec{decode[appsv1.Deployment](t, "relay.yaml", 0).Spec.Template.Spec, decode[batchv1.Job](t, "migrate.yaml", 0).Spec.Template.Spec} {
		require.True(t, *pod.SecurityContext.RunAsNonRoot)
		require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
		require.False(t, *pod.AutomountServiceAccountToken)
		require.Len(t, pod.Containers, 1)
		c := pod.Containers[0]
		require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
		require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
		require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
		require.NotZero(t, c.Resources.Limits.Memory().Value())
		require.NotZero(t, c.Resources.Requests.Memory().Value())
		dockerfile, err := os.ReadFile("../../Dockerfile")
		require.NoError(t, err)
		require.Contains(t, string(dockerfile), fmt.Sprintf("USER %d:%d", *pod.SecurityContext.RunAsUser, *pod.SecurityContext.RunAsGroup))
	}
}

// The parts of relay.yaml fit each other.
func TestTheRelaysFitTogether(t *testing.T) {
	t.Parallel()
	d, budget := decode[appsv1.Deployment](t, "relay.yaml", 0), decode[policyv1.PodDisruptionBudget](t, "relay.yaml", 1)
	pod := d.Spec.Template
	c := pod.Spec.Containers[0]
	require.GreaterOrEqual(t, *d.Spec.Replicas, int32(2))
	require.Equal(t, 0, d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue())
	require.Equal(t, d.Spec.Selector.MatchLabels, pod.Labels)
	require.Equal(t, d.Spec.Selector, budget.Spec.Selector)
	require.Equal(t, pod.Labels, pod.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0].PodAffinityTerm.LabelSelector.MatchLabels)
	require.Equal(t, fmt.Sprint(c.Ports[0].ContainerPort), pod.Annotations["prometheus.io/port"])
	require.Equal(t, c.Ports[0].Name, c.LivenessProbe.HTTPGet.Port.StrVal)
	require.Equal(t, c.Ports[0].Name, c.ReadinessProbe.HTTPGet.Port.StrVal)

	env := environment(t, c)
	require.Equal(t, fmt.Sprintf(":%d", c.Ports[0].ContainerPort), env["TANDEM_HTTP_ADDR"])
	drain, err := time.ParseDuration(env["TANDEM_DRAIN_TIMEOUT"])
	require.NoError(t, err)
	require.Greater(t, time.Duration(*pod.Spec.TerminationGracePeriodSeconds)*time.Second, drain+5*time.Second)
	mount := c.VolumeMounts[0]
	require.Equal(t, mount.MountPath, filepath.Dir(env["TANDEM_DATABASE_PASSWORD_FILE"]))
	require.True(t, slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name && v.Secret != nil }))
}

// The Job's environment and arguments migrate a database; those of the Deployment start
// a relay, which answers on the probes' paths and ends well when it is told to stop.
func TestTheManifestsRun(t *testing.T) {
	t.Parallel()
	binary, database := program(t), testservers.Postgres(t)
	job := decode[batchv1.Job](t, "migrate.yaml", 0).Spec.Template.Spec.Containers[0]
	migrate := exec.CommandContext(t.Context(), binary, job.Args...)
	migrate.Env = settled(t, environment(t, job), map[string]string{"TANDEM_DATABASE_URL": database})
	out, err := migrate.CombinedOutput()
	require.NoError(t, err, "%s", out)

	cluster := kfake.MustCluster(kfake.NumBrokers(1))
	defer cluster.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	u, err := url.Parse(database)
	require.NoError(t, err)
	word, _ := u.User.Password()
	u.User = url.User(u.User.Username())
	password := filepath.Join(t.TempDir(), "database-password")
	require.NoError(t, os.WriteFile(password, []byte(cmp.Or(word, "none")+"\n"), 0o600))

	d := decode[appsv1.Deployment](t, "relay.yaml", 0)
	c := d.Spec.Template.Spec.Containers[0]
	cmd := exec.CommandContext(t.Context(), binary, c.Args...)
	cmd.Env = settled(t, environment(t, c), map[string]string{
		"TANDEM_DATABASE_URL": u.String(), "TANDEM_DATABASE_PASSWORD_FILE": password, "TANDEM_KAFKA_BROKERS": cluster.ListenAddrs()[0],
		"TANDEM_KAFKA_TLS": "false", "TANDEM_HTTP_ADDR": address,
	})
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for _, path := range []string{c.ReadinessProbe.HTTPGet.Path, c.LivenessProbe.HTTPGet.Path, d.Spec.Template.Annotations["prometheus.io/path"]} {
		for !answers(t, "http://"+address+path) {
			select {
			case err := <-ended:
				require.FailNow(t, "the relay ended", "%v: %s", err, &log)
			case <-tick.C:
			}
		}
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-ended, "%s", &log)
}

func answers(t *testing.T, address string) bool {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}
