// Package hostclock is when this machine booted, and how its kernel counts time in procfs.
package hostclock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// BootTime is CLOCK_REALTIME less CLOCK_BOOTTIME, to which start times in stat are relative, as
// this time namespace has them: time_namespaces(7).
func BootTime() (time.Time, error) {
	var real, boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &real); err != nil {
		return time.Time{}, fmt.Errorf("CLOCK_REALTIME: %w", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return time.Time{}, fmt.Errorf("CLOCK_BOOTTIME: %w", err)
	}
	return time.Unix(0, real.Nano()-boot.Nano()), nil
}

// atClkTck is AT_CLKTCK of getauxval(3): clock ticks a second in procfs.
const atClkTck = 17

// UserHZ is USER_HZ; 100 on all but a few architectures.
func UserHZ() int {
	aux, err := unix.Auxv()
	if err == nil {
		for _, kv := range aux {
			if kv[0] == atClkTck && kv[1] > 0 {
				return int(kv[1])
			}
		}
	}
	return 100
}
