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
		Long: `Prints the version of tandem and of the Go that built it, for which system, and the
commit where that is known: it is not where tandem was built from an archive or by
"go install" with a version. Last comes the version of the schema that it is written
for: docs/upgrading.md says what works with what.`,
		Example: `  tandem version`,
	}, sys, nil, func(context.Context) error {
		info, _ := debug.ReadBuildInfo()
		fmt.Fprintln(sys.stdout, versionText(version, info))
		return nil
	})
}

// releaseText is the version alone.
func releaseText() string {
	info, _ := debug.ReadBuildInfo()
	return releaseOf(version, info)
}

// releaseOf is the linker's version, else what the module system knows: the tag that
// "go install" was asked for, or the commit of a clone that "go build" looked at.
func releaseOf(stamped string, info *debug.BuildInfo) string {
	if info != nil && info.Main.Version != "(devel)" {
		stamped = cmp.Or(stamped, info.Main.Version)
	}
	return cmp.Or(stamped, "dev")
}

// versionText is all that is known, and the schema's version that the program is
// written for.
func versionText(stamped string, info *debug.BuildInfo) string {
	var commit, modified string
	if info != nil {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = ", commit " + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = ", modified"
			}
		}
	}
	return fmt.Sprintf("tandem %s (%s, %s/%s%s%s, schema %d)", releaseOf(stamped, info), runtime.Version(), runtime.GOOS, runtime.GOARCH, commit, modified, schema.Version)
}
