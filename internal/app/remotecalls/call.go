package remotecalls

import (
	"context"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
)

// A callOf is a call that is being answered.
type callOf struct {
	s      *Supervisor
	n      *seccomp.Notification
	who    caller
	mem    memory
	action *action // that the call asked for; nil is that it only read
}

// answer carries the call out.
func (c *callOf) answer(ctx context.Context) seccomp.Answer {
	pid := c.n.Int(0)
	switch nr := int(c.n.Nr); nr {
	case unix.SYS_PIDFD_SEND_SIGNAL:
		return pidfdSendSignal(c, ctx)
	case unix.SYS_KILL:
		if pid < 0 {
			return killGroup(ctx, c, -pid, c.n.Int(1))
		}
		return kill(ctx, c, pid, c.n.Int(1))
	case unix.SYS_GETPRIORITY, unix.SYS_SETPRIORITY, unix.SYS_IOPRIO_GET, unix.SYS_IOPRIO_SET:
		if c.n.Int(1) < 0 {
			return kernel
		}
		return priorities(ctx, c, nr, c.n.Int(0), c.n.Int(1))
	}
	if pid < 0 {
		return kernel // which knows no such process, and what is wrong with the number
	}
	switch c.n.Nr {
	case unix.SYS_TKILL:
		return killThread(ctx, c, 0, pid, c.n.Int(1), nil)
	case unix.SYS_TGKILL:
		return killThread(ctx, c, pid, c.n.Int(1), c.n.Int(2), nil)
	case unix.SYS_RT_SIGQUEUEINFO:
		return queue(ctx, c, pid, c.n.Int(1), c.n.Args[2])
	case unix.SYS_RT_TGSIGQUEUEINFO:
		return queueThread(ctx, c, pid, c.n.Int(1), c.n.Int(2), c.n.Args[3])
	case unix.SYS_PIDFD_OPEN:
		return fails(unix.ENOSYS) // so that programs go on to kill(2)
	case unix.SYS_GETPGID:
		return c.number(ctx, pid, fieldGroup)
	case unix.SYS_GETSID:
		return c.number(ctx, pid, fieldSession)
	case unix.SYS_SCHED_GETAFFINITY:
		return getAffinity(ctx, c, pid, uint32(c.n.Args[1]), c.n.Args[2])
	case unix.SYS_SCHED_SETAFFINITY:
		return setAffinity(ctx, c, pid, uint32(c.n.Args[1]), c.n.Args[2])
	case unix.SYS_SCHED_GETSCHEDULER:
		return getScheduler(ctx, c, pid)
	case unix.SYS_SCHED_SETSCHEDULER:
		return setScheduler(ctx, c, pid, c.n.Int(1), c.n.Args[2])
	case unix.SYS_SCHED_GETPARAM:
		return getParam(ctx, c, pid, c.n.Args[1])
	case unix.SYS_SCHED_SETPARAM:
		return setParam(ctx, c, pid, c.n.Args[1])
	case unix.SYS_SCHED_GETATTR:
		return getAttr(ctx, c, pid, c.n.Args[1], uint32(c.n.Args[2]), uint32(c.n.Args[3]))
	case unix.SYS_SCHED_SETATTR:
		return setAttr(ctx, c, pid, c.n.Args[1], uint32(c.n.Args[2]))
	case unix.SYS_SCHED_RR_GET_INTERVAL:
		return interval(ctx, c, pid, c.n.Args[1])
	case unix.SYS_PRLIMIT64:
		return prlimit(ctx, c, pid, uint32(c.n.Args[1]), c.n.Args[2], c.n.Args[3])
	}
	return fails(unix.ENOSYS)
}

// number answers with a number of the process's stat file.
func (c *callOf) number(ctx context.Context, pid int32, field int) seccomp.Answer {
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	v, errno := p.field(field)
	if errno != 0 {
		return fails(errno)
	}
	return returns(v)
}

// decimal is a number as text.
func decimal[T ~int | ~int32 | ~int64](n T) string { return strconv.FormatInt(int64(n), 10) }
