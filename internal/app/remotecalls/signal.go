package remotecalls

import (
	"context"
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/internal/seccomp"
)

// lastSignal is the largest signal (_NSIG of the processors that seccomp knows).
const lastSignal = 64

// send sends a signal to a target; 0 only asks whether it could be sent. info is what else goes
// with it, nil for nothing.
func send(ctx context.Context, c *callOf, t target, signal int32, info *sigInfo) seccomp.Answer {
	switch {
	case signal < 0 || signal > lastSignal:
		return fails(unix.EINVAL)
	case signal == 0 && c.who.mayProbe(t.uids):
		return returns(0)
	case signal == 0:
		return fails(unix.EPERM)
	case info != nil:
		return c.does(ctx, t.text, "sigqueue "+decimal(signal)+" "+decimal(info.value), unix.CAP_KILL, true)
	}
	return c.does(ctx, t.text, "signal "+decimal(signal), unix.CAP_KILL, true)
}

func kill(ctx context.Context, c *callOf, pid, signal int32) seccomp.Answer {
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	t, errno := p.whole(ctx)
	if errno != 0 {
		return fails(errno)
	}
	return send(ctx, c, t, signal, nil)
}

// killThread is tgkill(2), and tkill(2) with a pid of 0.
func killThread(ctx context.Context, c *callOf, pid, tid, signal int32, info *sigInfo) seccomp.Answer {
	t, errno := threadOf(ctx, c, pid, tid)
	if errno != 0 {
		return fails(errno)
	}
	return send(ctx, c, t, signal, info)
}

// threadOf finds a thread of a process; 0 is of any.
func threadOf(ctx context.Context, c *callOf, pid, tid int32) (t target, errno unix.Errno) {
	if tid <= 0 {
		return t, unix.EINVAL
	}
	var p *process
	if pid == 0 {
		p, errno = c.find(ctx, tid)
	} else {
		p, errno = c.findAt(ctx, decimal(pid), "task", decimal(tid))
	}
	if errno != 0 {
		return t, errno
	}
	if t, errno = p.each(ctx); errno == 0 && !strings.Contains(t.text, "/") {
		tgid, start, _ := strings.Cut(t.text, "#")
		t.text = tgid + "/" + tgid + "#" + start // the first thread alone, not its process
	}
	return t, errno
}

// A sigInfo is what of a siginfo_t goes with a signal: the sival_int of sigqueue(3).
type sigInfo struct{ value int32 }

// Where the parts of siginfo_t are on processors of 64 bits (asm-generic/siginfo.h), and SI_TKILL.
const (
	sigInfoSize  = 128
	sigInfoCode  = 8
	sigInfoValue = 24
	siTkill      = -6
)

// infoAt reads a siginfo_t. The kernel lets nobody say of a signal that it comes from the kernel or
// from kill(2), except to themselves.
func infoAt(c *callOf, at uint64) (*sigInfo, unix.Errno) {
	var b [sigInfoSize]byte
	if errno := c.mem.read(b[:], at); errno != 0 {
		return nil, errno
	}
	if code := int32(binary.LittleEndian.Uint32(b[sigInfoCode:])); code >= 0 || code == siTkill {
		return nil, unix.EPERM
	}
	return &sigInfo{int32(binary.LittleEndian.Uint32(b[sigInfoValue:]))}, 0
}

// queue is rt_sigqueueinfo(2).
func queue(ctx context.Context, c *callOf, pid, signal int32, at uint64) seccomp.Answer {
	info, errno := infoAt(c, at)
	if errno != 0 {
		return fails(errno)
	}
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	t, errno := p.whole(ctx)
	if errno != 0 {
		return fails(errno)
	}
	return send(ctx, c, t, signal, info)
}

// queueThread is rt_tgsigqueueinfo(2).
func queueThread(ctx context.Context, c *callOf, pid, tid, signal int32, at uint64) seccomp.Answer {
	info, errno := infoAt(c, at)
	if errno != 0 {
		return fails(errno)
	}
	return killThread(ctx, c, pid, tid, signal, info)
}

// killGroup is kill(2) of a process group, whose number is positive here.
func killGroup(ctx context.Context, c *callOf, group, signal int32) seccomp.Answer {
	if signal > 0 && signal <= lastSignal {
		// The node has the group's members; who may not act gets EPERM of what is shown to them.
		answer := c.does(ctx, "-"+decimal(group), "signal "+decimal(signal), unix.CAP_KILL, true)
		if answer.Errno != unix.EPERM {
			return answer
		}
	}
	members, errno := membersOf(ctx, c, group)
	if errno != 0 {
		return fails(errno)
	}
	if signal < 0 || signal > lastSignal {
		return fails(unix.EINVAL)
	}
	if signal != 0 {
		return fails(unix.EPERM)
	}
	errno = unix.ESRCH
	for _, p := range members {
		status, err := p.read(ctx, "status")
		switch {
		case err != 0:
		case c.who.mayProbe(ids(procfile.StatusValue(status, "Uid"))):
			return returns(0)
		default:
			errno = unix.EPERM
		}
	}
	return fails(errno)
}
