package procfs9p

import (
	"fmt"
	"os"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// facts says what a front end must know of the node. Files of the procfs are
// parsed by github.com/prometheus/procfs, which panics on some that are not as
// it expects.
func (l *Leaf) facts() (f snapshot.Facts, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("facts of %s: %v", l.cfg.Root, r)
		}
	}()
	fs, err := procfs.NewFS(l.cfg.Root)
	if err != nil {
		return f, err
	}
	f = snapshot.Facts{Hz: userHZ(), PageSize: os.Getpagesize(), Version: l.cfg.Version}
	options, err := l.options()
	if err != nil {
		return f, err
	}
	f.HidePID, f.PIDGID = options.HidePID, options.GID
	if f.BootTime, err = bootTime(); err != nil {
		return f, err
	}
	for name, field := range map[string]*string{
		"kernel/random/boot_id": &f.BootID, "kernel/osrelease": &f.Release, "kernel/hostname": &f.Hostname,
	} {
		words, err := fs.SysctlStrings(name)
		if err != nil {
			return f, err
		}
		if len(words) > 0 {
			*field = words[0]
		}
	}
	pidMax, err := fs.SysctlInts("kernel/pid_max")
	if err != nil {
		return f, err
	}
	if len(pidMax) != 1 || pidMax[0] <= 0 {
		return f, fmt.Errorf("%s/sys/kernel/pid_max: %v is not one number", l.cfg.Root, pidMax)
	}
	f.PIDMax = pidMax[0]
	return f, nil
}

// bootTime is CLOCK_REALTIME less CLOCK_BOOTTIME, to which start times in stat
// are relative, as this time namespace has them: time_namespaces(7).
func bootTime() (time.Time, error) {
	var real, boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &real); err != nil {
		return time.Time{}, err
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return time.Time{}, err
	}
	return time.Unix(0, real.Nano()-boot.Nano()), nil
}

// atClkTck is AT_CLKTCK of getauxval(3): clock ticks a second in procfs.
const atClkTck = 17

// userHZ is USER_HZ; 100 on all but a few architectures.
func userHZ() int {
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
