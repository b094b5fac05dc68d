package integration_test

import (
	"context"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tandem-outbox/tandem/internal/testprograms"
	"github.com/tandem-outbox/tandem/internal/testservers"
)

// Nothing here starts docker-compose.yml; these tests keep what it says true.

// compose loads the file as "docker compose" does, with every profile.
func compose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join("..", "docker-compose.yml")}, cli.WithProfiles([]string{"*"}))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

func service(t *testing.T, project *types.Project, name string) types.ServiceConfig {
	t.Helper()
	s, err := project.GetService(name)
	require.NoError(t, err)
	return s
}

func variable(s types.ServiceConfig, name string) string {
	if value := s.Environment[name]; value != nil {
		return *value
	}
	return ""
}

// targets are the ports of the container that are reachable from this machine.
func targets(t *testing.T, s types.ServiceConfig) (ports []string) {
	t.Helper()
	for _, port := range s.Ports {
		require.Equal(t, "127.0.0.1", port.HostIP, "%s: the password is public, so nothing may listen for the world", s.Name)
		ports = append(ports, strconv.Itoa(int(port.Target)))
	}
	return ports
}

func TestComposeServicesAndOrder(t *testing.T) {
	t.Parallel()
	project := compose(t)
	conditions := map[string]map[string]string{
		"postgres": {},
		"kafka":    {},
		"migrate":  {"postgres": types.ServiceConditionHealthy},
		"relay":    {"migrate": types.ServiceConditionCompletedSuccessfully, "kafka": types.ServiceConditionHealthy},
		"demo":     {"postgres": types.ServiceConditionHealthy, "kafka": types.ServiceConditionHealthy},
	}
	require.Len(t, project.Services, len(conditions))
	for name, want := range conditions {
		got := map[string]string{}
		for other, dependency := range service(t, project, name).DependsOn {
			got[other] = dependency.Condition
			if dependency.Condition == types.ServiceConditionHealthy {
				require.NotNil(t, service(t, project, other).HealthCheck, "%s waits for the health of %s", name, other)
			}
		}
		require.Equal(t, want, got, name)
	}
	for name, s := range project.Services {
		require.Equal(t, name == "demo", slices.Equal(s.Profiles, []string{"demo"}), "%s: profiles %v", name, s.Profiles)
		require.Equal(t, name == "migrate" || name == "demo", s.Restart == "no", "%s: restart %s", name, s.Restart)
	}
}

func TestComposeImages(t *testing.T) {
	t.Parallel()
	project := compose(t)
	require.Equal(t, testservers.PostgresImage, service(t, project, "postgres").Image)
	require.Equal(t, testservers.KafkaImage, service(t, project, "kafka").Image)
	var version []string
	for _, i := range stages(t)[0] {
		if i.name == "ARG" {
			name, _, _ := strings.Cut(i.arguments, "=")
			version = append(version, name)
		}
	}
	for _, name := range []string{"migrate", "relay", "demo"} {
		s := service(t, project, name)
		require.NotNil(t, s.Build, name)
		require.Equal(t, project.WorkingDir, s.Build.Context)
		for argument := range s.Build.Args {
			require.Contains(t, version, argument, "%s: the Dockerfile knows no such ARG", name)
		}
	}
}

func TestComposeAddresses(t *testing.T) {
	t.Parallel()
	project := compose(t)
	postgres, kafka, relay, demo := service(t, project, "postgres"), service(t, project, "kafka"), service(t, project, "relay"), service(t, project, "demo")

	databases := map[string]string{
		variable(service(t, project, "migrate"), "TANDEM_DATABASE_URL"): variable(postgres, "POSTGRES_DB"),
		variable(relay, "TANDEM_DATABASE_URL"):                          variable(postgres, "POSTGRES_DB"),
		option(t, demo, "--database-url"):                               "postgres", // the one that is always there
	}
	for address, database := range databases {
		config, err := pgx.ParseConfig(address)
		require.NoError(t, err)
		require.Equal(t, "postgres", config.Host)
		require.Equal(t, targets(t, postgres), []string{strconv.Itoa(int(config.Port))})
		require.Equal(t, "postgres", config.User)
		require.Equal(t, variable(postgres, "POSTGRES_PASSWORD"), config.Password)
		require.Equal(t, database, config.Database)
	}

	advertised := map[string]string{} // address by listener
	for _, listener := range strings.Split(variable(kafka, "KAFKA_ADVERTISED_LISTENERS"), ",") {
		name, address, _ := strings.Cut(listener, "://")
		advertised[name] = address
		_, port, _ := strings.Cut(address, ":")
		require.Contains(t, variable(kafka, "KAFKA_LISTENERS"), name+"://:"+port)
	}
	require.Equal(t, advertised["PLAINTEXT"], variable(relay, "TANDEM_KAFKA_BROKERS"))
	require.Equal(t, advertised["PLAINTEXT"], option(t, demo, "--kafka-brokers"))
	require.True(t, strings.HasPrefix(advertised["PLAINTEXT"], "kafka:"))
	require.Equal(t, []string{strings.TrimPrefix(advertised["HOST"], "localhost:")}, targets(t, kafka))
	require.Equal(t, ":"+targets(t, relay)[0], variable(relay, "TANDEM_HTTP_ADDR"))
	require.Equal(t, argument(t, stages(t)[1], "EXPOSE"), targets(t, relay)[0])
}

// option is the value of a flag in a service's command.
func option(t *testing.T, s types.ServiceConfig, flag string) string {
	t.Helper()
	for _, word := range s.Command {
		if value, ok := strings.CutPrefix(word, flag+"="); ok {
			return value
		}
	}
	require.Fail(t, "flag is missing", "%s: %s in %v", s.Name, flag, s.Command)
	return ""
}

func TestComposeHealthChecks(t *testing.T) {
	t.Parallel()
	project := compose(t)
	// What is known to be in each image. Our own is Alpine: wget is BusyBox's.
	programs := map[string]string{
		"postgres": "pg_isready",
		"kafka":    "/opt/kafka/bin/kafka-broker-api-versions.sh",
		"relay":    "wget",
	}
	for name, program := range programs {
		s := service(t, project, name)
		require.NotNil(t, s.HealthCheck, name)
		test := s.HealthCheck.Test
		require.GreaterOrEqual(t, len(test), 2, name)
		require.Equal(t, []string{"CMD", program}, []string(test[:2]), name)
		port := targets(t, s)[0]
		require.Contains(t, strings.Join(test[2:], " "), port, "%s is checked on another port than it listens on", name)
	}
	address, err := url.Parse(service(t, project, "relay").HealthCheck.Test[len(service(t, project, "relay").HealthCheck.Test)-1])
	require.NoError(t, err)
	require.Equal(t, "/readyz", address.Path)
}

func TestComposeCommandsAndVariablesExist(t *testing.T) {
	t.Parallel()
	project := compose(t)
	tandem := program(t, "tandem")
	for _, name := range []string{"migrate", "relay"} {
		s := service(t, project, name)
		require.Empty(t, s.Entrypoint, "%s runs the image's own entrypoint", name)
		known := variables(testprograms.Flags(t, tandem, s.Command...))
		for variable := range s.Environment {
			require.Contains(t, known, variable, "tandem %s has no such setting", strings.Join(s.Command, " "))
		}
	}
	t.Run("demo", func(t *testing.T) {
		s := service(t, project, "demo")
		require.Equal(t, []string{"tandem-demo"}, []string(s.Entrypoint))
		known := testprograms.Flags(t, program(t, "tandem-demo"))
		for _, word := range s.Command {
			name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
			require.Contains(t, known, name)
		}
	})
}

// runProgram runs a program to its end, which must be a good one.
func runProgram(t *testing.T, binary string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, arguments...)
	cmd.Env = testprograms.Environ()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}
