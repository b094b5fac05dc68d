package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-outbox/tandem/internal/bench"
)

// The settings that say how much is measured are of one call: neither the
// environment nor a file can set them.

// benchPayload is one size for several measurements.
func benchPayload(to ...*int) *setting {
	var size int
	s := count(&size, "payload", "how large an event's payload is, in bytes", 200, bench.MinPayload, 900_000)
	return into(s, func() {
		for _, t := range to {
			*t = size
		}
	})
}

func steadyRates(to *[]int) *setting {
	return countList(to, "rate", "how many events a second are written, in turn", "1000", 1_000_000)
}

// eventsEach divides the number of keys, so that each key is always written in the
// same turn.
func eventsEach(to *int) *setting {
	s := count(to, "each", "how many events a transaction has", 1, 1, 1000)
	parse := s.parse
	s.allowed = fmt.Sprintf("a number from 1 to 1000 that divides %d", bench.Keys)
	s.parse = func(text string) error {
		if err := parse(text); err != nil {
			return err
		}
		if bench.Keys%*to != 0 {
			return errors.New("it does not divide it")
		}
		return nil
	}
	return s
}

// count is a number from least to most.
func count(to *int, name, usage string, initial, least, most int) *setting {
	return &setting{
		name: name, kind: "number", usage: usage, initial: strconv.Itoa(initial), flagOnly: true, notEmpty: true,
		allowed: fmt.Sprintf("a number from %d to %d", least, most), example: strconv.Itoa(initial),
		parse: func(text string) (err error) {
			*to, err = parseCount(text, least, most)
			return err
		},
	}
}

// countList is some numbers from 1 to most.
func countList(to *[]int, name, usage, initial string, most int) *setting {
	return &setting{
		name: name, kind: "numbers", usage: usage, initial: initial, flagOnly: true, notEmpty: true,
		allowed: fmt.Sprintf("numbers from 1 to %d, separated by commas", most), example: initial,
		parse: func(text string) error {
			var list []int
			for part := range strings.SplitSeq(text, ",") {
				n, err := parseCount(strings.TrimSpace(part), 1, most)
				if err != nil {
					return err
				}
				list = append(list, n)
			}
			*to = list
			return nil
		},
	}
}

func parseCount(text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no number", text)
	case n < least:
		return 0, errors.New("it is too small")
	case n > most:
		return 0, errors.New("it is too large")
	}
	return n, nil
}

func flagDuration(to *time.Duration, name, usage string, initial, least time.Duration) *setting {
	s := duration(to, name, usage, initial, least)
	s.flagOnly, s.notEmpty = true, true
	return s
}
