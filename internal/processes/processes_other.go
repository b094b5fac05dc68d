//go:build !linux

package processes

import "time"

func Parent(int) int            { return 0 }
func CommandLine(int) []byte    { return nil }
func CPU(int) time.Duration     { return 0 }
func TreeCPU(int) time.Duration { return 0 }
func PeakMemory(int) int64      { return 0 }
func Listener(string) int       { return 0 }
