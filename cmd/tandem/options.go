package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-outbox/tandem/internal/schema"
)

// The settings that commands are made of.

func schemaName(to *string) *setting {
	return &setting{
		name: "schema", kind: "name", initial: schema.Default,
		usage:   "Tandem's schema in the database",
		allowed: "1 to 40 of a-z, 0-9 and _, beginning with no digit and not with pg_", example: schema.Default,
		parse: func(text string) error {
			if schema.Check(text) != nil {
				return errors.New("it cannot be the schema's name")
			}
			*to = text
			return nil
		},
	}
}

func kafkaBrokers(to *[]string) *setting {
	return &setting{
		name: "kafka-brokers", kind: "addresses", required: true,
		usage:   "some of Kafka's brokers, separated by commas; the others are found through them",
		allowed: "host:port (9092 where there is no port), more than one separated by commas", example: "kafka-1:9092,kafka-2:9092",
		parse: func(text string) error {
			var brokers []string
			for broker := range strings.SplitSeq(text, ",") {
				broker = strings.TrimSpace(broker)
				if broker != "" && !strings.Contains(broker, ":") {
					broker += ":9092"
				}
				if err := checkAddress(broker, 1); err != nil {
					return fmt.Errorf("%q %w", broker, err)
				}
				brokers = append(brokers, broker)
			}
			*to = brokers
			return nil
		},
	}
}

// text is anything but nothing.
func text(to *string, name, kind, usage, allowed, example string) *setting {
	return &setting{
		name: name, kind: kind, usage: usage, allowed: allowed, example: example,
		parse: func(text string) error {
			*to = text
			return nil
		},
	}
}

// checkAddress wants host:port; a port below least is refused.
func checkAddress(address string, least int) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("is not host:port")
	}
	if host == "" && least > 0 {
		return errors.New("has no host")
	}
	if n, err := strconv.Atoi(port); err != nil || n < least || n > 65535 {
		return fmt.Errorf("has a port that is no number from %d to 65535", least)
	}
	return nil
}

func httpAddr(to *string) *setting {
	return &setting{
		name: "http-addr", kind: "address", shown: "off",
		usage:   "where to serve /healthz, /readyz, /statusz and /metrics",
		allowed: "host:port or :port, port 0 meaning any that is free", example: "127.0.0.1:8080",
		parse: func(text string) error {
			if err := checkAddress(text, 0); err != nil {
				return fmt.Errorf("it %w", err)
			}
			*to = text
			return nil
		},
	}
}

func source(to *string) *setting {
	return &setting{
		name: "source", kind: "uri", shown: "/tandem/<database>",
		usage:   "CloudEvents source of every event (header ce_source)",
		allowed: "a URI reference", example: "/tandem/shop",
		parse: func(text string) error {
			if _, err := url.Parse(text); err != nil || strings.ContainsAny(text, " \t\r\n") {
				return errors.New("it is no URI reference")
			}
			*to = text
			return nil
		},
	}
}

// duration is at least least.
func duration(to *time.Duration, name, usage string, initial, least time.Duration) *setting {
	return &setting{
		name: name, kind: "duration", usage: usage, initial: short(initial),
		allowed: "a duration of at least " + short(least), example: short(initial),
		parse: func(text string) error {
			d, err := time.ParseDuration(text)
			if err != nil {
				return errors.New("it is no duration: a number and a unit (ms, s, m, h)")
			}
			if d < least {
				return errors.New("it is too short")
			}
			*to = d
			return nil
		},
	}
}

// short is 5m for what Duration calls 5m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	return text
}

// keepLeaves: the ring comes round, so that not all of it can be kept.
func keepLeaves(to *int) *setting {
	return &setting{
		name: "keep-leaves", kind: "number", initial: "0",
		usage:   "how many published leaves of the log, of 131,072 events each, to keep for tandem replay",
		allowed: "0 to 14: the log is a ring of 16 leaves", example: "2",
		parse: func(text string) error {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > 14 {
				return errors.New("it cannot be kept")
			}
			*to = n
			return nil
		},
	}
}

// size is a number of bytes of at least least.
func size(to *int, name, usage string, initial, least int) *setting {
	return &setting{
		name: name, kind: "bytes", usage: usage, initial: strconv.Itoa(initial),
		allowed: fmt.Sprintf("a number of at least %d", least), example: strconv.Itoa(initial),
		parse: func(text string) error {
			n, err := strconv.Atoi(text)
			if err != nil {
				return errors.New("it is no number")
			}
			if n < least {
				return errors.New("it is too small")
			}
			*to = n
			return nil
		},
	}
}

func toggle(to *bool, name, usage string) *setting {
	return &setting{
		name: name, usage: usage, toggle: true, initial: "false", allowed: "true or false", example: "true",
		values: []string{"true", "false"},
		parse: func(text string) (err error) {
			if *to, err = strconv.ParseBool(text); err != nil {
				return errors.New("it is neither true nor false")
			}
			return nil
		},
	}
}

// once is a toggle that neither the environment nor a file can set.
func once(to *bool, name, usage string) *setting {
	s := toggle(to, name, usage)
	s.flagOnly = true
	return s
}

// flagText is any text; neither the environment nor a file can set it.
func flagText(to *string, name, kind, usage, example string) *setting {
	return &setting{
		name: name, kind: kind, usage: usage, flagOnly: true, allowed: "text", example: example,
		parse: func(text string) error {
			if strings.ContainsRune(text, 0) {
				return errors.New("it has a NUL byte")
			}
			*to = text
			return nil
		},
	}
}

// number is at least least; neither the environment nor a file can set it.
func number(to *int64, name, usage string, least int64, shown string) *setting {
	return &setting{
		name: name, kind: "number", usage: usage, flagOnly: true, shown: shown,
		allowed: fmt.Sprintf("a number of at least %d", least), example: "100",
		parse: func(text string) error {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return errors.New("it is no number")
			}
			if n < least {
				return errors.New("it is too small")
			}
			*to = n
			return nil
		},
	}
}

func choice(to *string, name, usage, initial string, of ...string) *setting {
	return &setting{
		name: name, kind: strings.Join(of, "|"), usage: usage, initial: initial,
		allowed: strings.Join(of, " or "), example: of[0], values: of,
		parse: func(text string) error {
			if !slices.Contains(of, text) {
				return errors.New("it is none of them")
			}
			*to = text
			return nil
		},
	}
}

func logLevel(to *slog.Level) *setting {
	var name string
	s := choice(&name, "log-level", "the least level that is logged", "info", "debug", "info", "warn", "error")
	check := s.parse
	s.parse = func(text string) error {
		if err := check(text); err != nil {
			return err
		}
		return to.UnmarshalText([]byte(name))
	}
	return s
}

func configFile() *setting {
	return &setting{
		name: "config", kind: "file", shown: "none",
		usage:   "a YAML file with a key for each flag",
		allowed: "a file's name", example: "/etc/tandem/tandem.yaml",
		parse: func(string) error { return nil }, // it has been read by now
	}
}
