//go:build !linux

package relay

import "errors"

func setLowWater(uintptr, int) error { return errors.ErrUnsupported }

func readFD(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
