package remotecalls

import (
	"context"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
)

// priorities is getpriority(2), setpriority(2), ioprio_get(2) and ioprio_set(2) of a process or of
// a process group: the filter sends nothing else.
func priorities(ctx context.Context, c *callOf, nr int, which, who int32) seccomp.Answer {
	group := which == seccomp.PrioGroup
	if nr == unix.SYS_IOPRIO_GET || nr == unix.SYS_IOPRIO_SET {
		group = which == seccomp.IoprioGroup
	}
	var members []*process
	var errno unix.Errno
	if group {
		members, errno = membersOf(ctx, c, who)
	} else {
		var p *process
		p, errno = c.find(ctx, who)
		members = []*process{p}
	}
	if errno != 0 {
		return fails(errno)
	}
	if nr == unix.SYS_GETPRIORITY {
		if group {
			if to := "-" + decimal(who); c.s.acted.lately(to) {
				text, ok := freshAt(ctx, c, to, "get-nice")
				if nice, err := strconv.ParseInt(text, 10, 8); ok && err == nil {
					return returns(20 - nice)
				}
			}
		}
		return highest(ctx, c, members)
	}
	to := target{text: "-" + decimal(who)}
	if !group {
		if to, errno = members[0].each(ctx); errno != 0 {
			return fails(errno)
		}
	}
	switch nr {
	case unix.SYS_SETPRIORITY:
		nice := min(max(c.n.Int(2), -20), 19) // as the kernel does
		return c.does(ctx, to.text, "nice "+decimal(nice), unix.CAP_SYS_NICE, false)
	case unix.SYS_IOPRIO_GET:
		// Everybody may ask, and /proc does not tell.
		value, errno := c.act(ctx, to.text, "get-ioprio", unix.CAP_SYS_NICE, false)
		if errno != 0 {
			return fails(errno)
		}
		return ioprioOf(value)
	}
	class, ok := ioprioText(c.n.Int(2))
	if !ok {
		return fails(unix.EINVAL)
	}
	return c.does(ctx, to.text, "ioprio "+class, unix.CAP_SYS_NICE, true)
}

// highest is getpriority(2): the lowest nice value of all, from 40 for -20 to 1 for 19.
func highest(ctx context.Context, c *callOf, members []*process) seccomp.Answer {
	value := int64(0)
	for _, p := range members {
		nice, errno := niceOf(ctx, c, p)
		if errno != 0 {
			return fails(errno)
		}
		value = max(value, 20-nice)
	}
	return returns(value)
}

// ioprioShift is where the class is in an I/O priority (linux/ioprio.h).
const ioprioShift = 13

// ioprioClasses are the classes as cluster/ctl has them, by number.
var ioprioClasses = []string{"none", "rt", "be", "idle"}

// ioprioText is an I/O priority as cluster/ctl takes it.
func ioprioText(value int32) (string, bool) {
	class, level := value>>ioprioShift, value&(1<<ioprioShift-1)
	if class < 0 || int(class) >= len(ioprioClasses) {
		return "", false
	}
	if text := ioprioClasses[class]; class == 0 || class == 3 {
		return text, true
	}
	return ioprioClasses[class] + ":" + decimal(level), true
}

// ioprioOf is the reverse.
func ioprioOf(text string) seccomp.Answer {
	name, level, _ := strings.Cut(strings.TrimSpace(text), ":")
	for class, called := range ioprioClasses {
		if name == called {
			n, err := strconv.ParseUint(level, 10, ioprioShift)
			if err != nil && level != "" {
				break
			}
			return returns(class<<ioprioShift | int(n))
		}
	}
	return fails(unix.EIO)
}
