package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// observeOptions are the settings of "tandem relay" for who watches it.
type observeOptions struct {
	warnSize int64
	warnAge  time.Duration
	diskSize int64
	otlp     string
}

func (o *observeOptions) settings() []*setting {
	warnSize := byteSize(&o.warnSize, "warn-backlog-size", "warn when the log takes more than this on disk, with its indexes", "10GB")
	warnAge := duration(&o.warnAge, "warn-backlog-age", "warn when the oldest event that is not published was written longer ago", 0, time.Second)
	warnAge.initial, warnAge.shown, warnAge.example = "", "off", "10m"
	diskSize := byteSize(&o.diskSize, "disk-size", "what the log may take on its disk, to tell when that will be full", "100GB")
	diskSize.check = func() []string {
		if o.diskSize == 0 || o.warnSize <= o.diskSize {
			return nil
		}
		return []string{fmt.Sprintf("%s and %s: there would be a warning only once the disk is full; allowed is a --warn-backlog-size below --disk-size, for example %s", warnSize.named(), diskSize.named(), warnSize.example)}
	}
	return []*setting{warnSize, warnAge, diskSize, otlpEndpoint(&o.otlp)}
}

// byteSize is a setting that is off unless given.
func byteSize(to *int64, name, usage, example string) *setting {
	return &setting{
		name: name, kind: "size", shown: "off", usage: usage,
		allowed: "a number of bytes, or one with the unit kB, MB, GB, TB, KiB, MiB, GiB or TiB", example: example,
		parse: func(text string) (err error) {
			*to, err = parseSize(text)
			return err
		},
	}
}

func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "kKMGTiB ")
	unit, known := map[string]float64{
		"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[strings.TrimSpace(text[len(digits):])]
	value, err := strconv.ParseFloat(digits, 64)
	switch {
	case err != nil || !known:
		return 0, errors.New("it is no size")
	case !(value*unit >= 1) || value*unit >= math.MaxInt64:
		return 0, errors.New("it is out of range")
	}
	return int64(value * unit), nil
}
