// Migrate-from-polling moves a service from an outbox of its own, a table that a
// poller empties with SKIP LOCKED, to Tandem: while it writes, without losing an event
// or applying one twice, and in order. README.md says what an operator does; this
// program does it to a small bank that is at work all the time, with crashes, goes back
// once, and counts at the end.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/tandem-outbox/tandem/examples/internal/servers"
)

func main() {
	if url, ok := os.LookupEnv(pollerVariable); ok { // the poller is a process of its own, so that it can be killed
		if err := poll(context.Background(), url); err != nil {
			fmt.Fprintln(os.Stderr, "poller:", err)
			os.Exit(1)
		}
		return
	}
	servers.Main("migrate", story)
}

func story(ctx context.Context, s *servers.Servers) error {
	b, err := openBank(ctx, s)
	if err != nil {
		return err
	}
	b.open(ctx) // writers and the ledger, which know nothing of what follows
	o := &operator{bank: b, servers: s}
	for _, step := range []struct {
		says string
		does func(context.Context) error
	}{
		{"The poller is killed after it has published and before it has deleted. Another one takes over.", o.pollerCrashes},
		{"The relay runs. Nothing is in its log.", o.startRelay},
		{"The switch, while somebody who has written to the old outbox does not commit: refused, nothing has changed.", o.switchRefused},
		{"The switch, whose session is cut off before COMMIT: nothing has changed.", o.switchCutOff},
		{"The switch, while the poller publishes.", o.switchOver},
		{"The poller is stopped. It had nothing to do any more.", o.stopPoller},
		{"The way back: the trigger is dropped, the relay empties its log and stops, the poller starts.", o.back},
		{"The poller is killed again after it has published. The switch takes over what it has not deleted.", o.switchAfterCrash},
		{"The writers are replaced one by one by those that call outbox.Add.", o.deploy},
		{"The old outbox is dropped.", o.drop},
	} {
		fmt.Println(step.says)
		if err := step.does(ctx); err != nil {
			return fmt.Errorf("%s %w", step.says, err)
		}
		if err := b.goesOn(ctx); err != nil {
			return err
		}
	}
	if err := b.shut(ctx); err != nil {
		return err
	}
	return b.audit(ctx)
}
