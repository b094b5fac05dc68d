package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/tandem-outbox/tandem/internal/schema"
)

func newVersion(sys system) *cobra.Command {
	return configure(&cobra.Command{
		Use:   "version",
		Short: "Print the version",
	}, sys, nil, func(context.Context) error {
		fmt.Fprintln(sys.stdout, versionText())
		return nil
	})
}

// releaseText is the version alone.
func releaseText() string {
	release := version
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "(devel)" {
		release = cmp.Or(release, info.Main.Version)
	}
	return cmp.Or(release, "dev")
}

// versionText is the linker's version, else what the module system knows, and the
// schema's version that the program is written for.
func versionText() string {
	var revision, modified string
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = ", commit " + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = ", modified"
			}
		}
	}
	return fmt.Sprintf("tandem %s (%s, %s/%s%s%s, schema %d)", releaseText(), runtime.Version(), runtime.GOOS, runtime.GOARCH, revision, modified, schema.Version)
}
