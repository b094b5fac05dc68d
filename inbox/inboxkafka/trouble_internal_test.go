package inboxkafka

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func logger(to *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

func TestTroubleIsLoggedOnceForEachState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		trouble := trouble{log: logger(&text)}
		trouble.over()
		for range 3 {
			trouble.warn("fetch", "cannot fetch", "offset", 1, "error", errors.New("away"))
			wait(t.Context(), time.Second)
		}
		require.EqualError(t, trouble.err, "away")
		trouble.error("deleted", "it is gone", "offset", 1)
		require.NoError(t, trouble.err)
		trouble.over()
		trouble.over()
		require.Equal(t, `level=WARN msg="cannot fetch" offset=1 error=away
level=ERROR msg="it is gone" offset=1
level=INFO msg="it goes on" was="it is gone" after=3s attempts=4
`, text.String())
	})
}

func TestWhatHappensOftenIsLoggedSeldomAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		seldom := seldom{log: logger(&text)}
		for i := range 5 {
			seldom.report(slog.LevelError, "parked", "offset", i)
		}
		seldom.report(slog.LevelWarn, "skipped", "offset", 5)
		seldom.flush(false)
		wait(t.Context(), time.Second)
		seldom.report(slog.LevelError, "parked", "offset", 6)
		seldom.report(slog.LevelError, "parked", "offset", 7)
		seldom.flush(false)
		wait(t.Context(), time.Second)
		seldom.flush(false)
		seldom.report(slog.LevelError, "parked", "offset", 8)
		seldom.flush(true)
		require.Equal(t, `level=ERROR msg=parked offset=0
level=WARN msg=skipped offset=5
level=ERROR msg=parked offset=6 and_before=4
level=ERROR msg=parked more=1
level=ERROR msg=parked more=1
`, text.String())
	})
}
