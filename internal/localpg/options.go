package localpg

import (
	"fmt"
	"slices"
	"strings"
)

// AnyVersion lets Start take the newest supported version installed here, or
// download DefaultVersion when there is none.
const AnyVersion = ""

// DefaultVersion is downloaded when any version will do and none is installed.
const DefaultVersion = "18"

// oldestAny is the oldest version taken for AnyVersion: the oldest that Tandem
// supports. Version 14 must be asked for.
const oldestAny = 15

var versions = []string{"14", "15", "16", "17", "18"}

// Options says which server to start. The zero value is a good one.
type Options struct {
	// Version is a major version, "14" to "18". Defaults to AnyVersion.
	Version string
	// Download skips the versions installed on this machine.
	Download bool
	// Dir is where the server's own directory is made. Everybody must be able
	// to pass it when we are root. Defaults to the system's temporary directory.
	Dir string
	// Settings are added to postgresql.conf and win over the ones made here.
	Settings map[string]string
}

func (o Options) check() error {
	if o.Version != AnyVersion && !slices.Contains(versions, o.Version) {
		return fmt.Errorf("localpg: version %q is not one of %s", o.Version, strings.Join(versions, ", "))
	}
	return nil
}

// conf returns what is appended to postgresql.conf.
func (o Options) conf(port int) string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    fmt.Sprint(port),
		"unix_socket_directories": "", // clients come by TCP, with a password
		"max_connections":         "300",
		"shared_buffers":          "256MB",
		"max_wal_size":            "4GB", // no checkpoint storms in benchmarks
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"log_line_prefix":         "%m [%p] %d ",
	}
	for name, value := range o.Settings {
		settings[name] = value
	}
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	return b.String()
}
