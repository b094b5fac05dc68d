package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
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

// versionText is the linker's version, else what the module system knows.
func versionText() string {
	var module, revision, modified string
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "(devel)" {
			module = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = ", commit " + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = ", modified"
			}
		}
	}
	return fmt.Sprintf("tandem %s (%s, %s/%s%s%s)", cmp.Or(version, module, "dev"), runtime.Version(), runtime.GOOS, runtime.GOARCH, revision, modified)
}
