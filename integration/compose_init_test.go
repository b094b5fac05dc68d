package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testprograms"
)

// initialised is the compose file that "tandem init" writes, as Docker would load it.
func initialised(t *testing.T, tandem string, environment ...string) *types.Project {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tandem")
	runProgram(t, tandem, "init", "--stack", "sql", "--dir", dir)
	options, err := cli.NewProjectOptions([]string{filepath.Join(dir, "compose.yaml")}, cli.WithEnv(environment))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

// Nothing here starts it either: its servers are those of docker-compose.yml, and what
// is said of our own programs is true.
func TestComposeOfInit(t *testing.T) {
	t.Parallel()
	tandem := program(t, "tandem")
	project, ours := initialised(t, tandem), compose(t)

	require.Len(t, project.Services, 5)
	kafka, topics := service(t, project, "kafka"), service(t, project, "topics")
	require.Equal(t, service(t, ours, "kafka"), kafka)
	postgres, pattern := service(t, project, "postgres"), service(t, ours, "postgres")
	require.Equal(t, "shop", variable(postgres, "POSTGRES_DB"))
	*postgres.Environment["POSTGRES_DB"] = variable(pattern, "POSTGRES_DB")
	require.Equal(t, "shop", postgres.HealthCheck.Test[len(postgres.HealthCheck.Test)-1])
	postgres.HealthCheck.Test[len(postgres.HealthCheck.Test)-1] = "tandem"
	require.Equal(t, pattern, postgres)

	require.Equal(t, kafka.Image, topics.Image)
	require.Contains(t, topics.Entrypoint, variable(service(t, ours, "relay"), "TANDEM_KAFKA_BROKERS"))
	require.Contains(t, strings.Join(topics.Command, " "), "--topic orders")

	for name, waits := range map[string]map[string]string{
		"topics":  {"kafka": types.ServiceConditionHealthy},
		"migrate": {"postgres": types.ServiceConditionHealthy},
		"relay":   {"migrate": types.ServiceConditionCompletedSuccessfully, "topics": types.ServiceConditionCompletedSuccessfully},
	} {
		got := map[string]string{}
		for other, dependency := range service(t, project, name).DependsOn {
			got[other] = dependency.Condition
		}
		require.Equal(t, waits, got, name)
	}

	for _, name := range []string{"migrate", "relay"} {
		s := service(t, project, name)
		known := variables(testprograms.Flags(t, tandem, "relay"))
		for variable := range s.Environment {
			require.Contains(t, known, variable)
		}
		require.Equal(t, "postgres://postgres:tandem@postgres:5432/shop?sslmode=disable", variable(s, "TANDEM_DATABASE_URL"))
		require.Equal(t, variable(service(t, ours, "relay"), "TANDEM_KAFKA_BROKERS"), variable(s, "TANDEM_KAFKA_BROKERS"))
		require.Len(t, s.Volumes, 1)
		require.FileExists(t, s.Volumes[0].Source)
		require.Equal(t, variable(s, "TANDEM_CONFIG"), s.Volumes[0].Target)
		require.Equal(t, filepath.Clean(filepath.Join(project.WorkingDir, "..", "..", "tandem")), s.Build.Context)
	}
	relay, pattern := service(t, project, "relay"), service(t, ours, "relay")
	require.Equal(t, pattern.Command, relay.Command)
	require.Equal(t, pattern.HealthCheck, relay.HealthCheck)
	require.Equal(t, targets(t, pattern), targets(t, relay))
}

func TestComposeOfInitTakesAnotherCloneOrImage(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	relay := service(t, initialised(t, program(t, "tandem"), "CLONE_OF_TANDEM="+root, "IMAGE_OF_TANDEM=ours:1"), "relay")
	require.Equal(t, "ours:1", relay.Image)
	require.Equal(t, root, relay.Build.Context)
	_, err = os.Stat(filepath.Join(relay.Build.Context, relay.Build.Dockerfile))
	require.NoError(t, err)
}
