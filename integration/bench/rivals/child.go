package rivals

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// The variables that make this program the process of a system.
const (
	systemVariable = "TANDEM_BENCH_SYSTEM"
	siteVariable   = "TANDEM_BENCH_SITE"
)

// again is the command of a system that is written here: this program once more,
// so that what it costs is counted apart from the measuring.
func again(system string) func(context.Context, Site) (*exec.Cmd, error) {
	return func(ctx context.Context, site Site) (*exec.Cmd, error) {
		program, err := os.Executable()
		if err != nil {
			return nil, err
		}
		content, err := json.Marshal(site)
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, program)
		cmd.Env = append(os.Environ(), systemVariable+"="+system, siteVariable+"="+string(content))
		return cmd, nil
	}
}

// Child does the work of a system and exits, if this process was started for that.
// Programs and tests that measure call it first.
func Child() {
	name := os.Getenv(systemVariable)
	if name == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := child(ctx, name); err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(ctx context.Context, name string) error {
	var site Site
	if err := json.Unmarshal([]byte(os.Getenv(siteVariable)), &site); err != nil {
		return err
	}
	for _, s := range Systems() {
		if s.Name == name {
			return s.child(ctx, site)
		}
	}
	return fmt.Errorf("there is no system %q", name)
}

// begins tells who measures that a system from memory has its events ready.
func begins() { fmt.Println("begins") }
