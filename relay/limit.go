package relay

import "log/slog"

// limit logs that something was passed, and that it is over: each once.
type limit struct{ is, was bool }

func (l *limit) passed(now bool) bool {
	l.is = now
	return now
}

func (l *limit) log(log *slog.Logger, passed, over string, args ...any) {
	switch {
	case l.is && !l.was:
		log.Warn(passed, args...)
	case l.was && !l.is:
		log.Info(over, args...)
	}
	l.was = l.is
}
