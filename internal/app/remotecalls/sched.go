package remotecalls

import (
	"bytes"
	"context"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// word is the size of a long of the processors that seccomp knows, in bytes.
const word = 8

// getAffinity is sched_getaffinity(2), by Cpus_allowed of the process's status.
func getAffinity(ctx context.Context, c *callOf, pid int32, size uint32, at uint64) seccomp.Answer {
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	mask, errno := affinityOf(ctx, c, p)
	if errno != 0 {
		return fails(errno)
	}
	if int(size) < len(mask) || size%word != 0 {
		return fails(unix.EINVAL)
	}
	if errno := c.mem.write(mask, at); errno != 0 {
		return fails(errno)
	}
	return returns(len(mask))
}

// maskOf reads a mask as the kernel prints it (groups of eight digits, the highest first), into
// whole words.
func maskOf(text []byte) ([]byte, bool) {
	digits := bytes.ReplaceAll(text, []byte(","), nil)
	if len(digits) == 0 || len(digits) > maxMask*2 {
		return nil, false
	}
	mask := make([]byte, (len(digits)/2+word)/word*word)
	if len(digits)%(2*word) == 0 {
		mask = mask[:len(digits)/2]
	}
	for i := range digits {
		v, err := strconv.ParseUint(string(digits[len(digits)-1-i]), 16, 8)
		if err != nil {
			return nil, false
		}
		mask[i/2] |= byte(v) << (4 * (i % 2))
	}
	return mask, true
}

// maxMask bounds a mask of processors, in bytes: 8192 of them, the most that a kernel is built for.
const maxMask = 1024

// setAffinity is sched_setaffinity(2).
func setAffinity(ctx context.Context, c *callOf, pid int32, size uint32, at uint64) seccomp.Answer {
	mask := make([]byte, min(size, maxMask))
	if errno := c.mem.read(mask, at); errno != 0 {
		return fails(errno)
	}
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	t, errno := p.each(ctx)
	if errno != 0 {
		return fails(errno)
	}
	list := listOf(mask)
	if list == "" {
		return fails(unix.EINVAL)
	}
	return c.does(ctx, t.text, "affinity "+list, unix.CAP_SYS_NICE, false)
}

// listOf is a mask as a list, as in cpuset(7): 0-3,7.
func listOf(mask []byte) string {
	has := func(cpu int) bool { return mask[cpu/8]&(1<<(cpu%8)) != 0 }
	var b strings.Builder
	for cpu := 0; cpu < 8*len(mask); cpu++ {
		if !has(cpu) {
			continue
		}
		first := cpu
		for cpu+1 < 8*len(mask) && has(cpu+1) {
			cpu++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(first))
		if cpu > first {
			b.WriteString("-" + strconv.Itoa(cpu))
		}
	}
	return b.String()
}

// policies are the scheduling policies as cluster/ctl takes them, by number (sched(7)). One of
// deadlines cannot be set there.
var policies = map[int64]string{0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle"}

const (
	policyFIFO = 1
	policyRR   = 2
)

// getScheduler is sched_getscheduler(2).
func getScheduler(ctx context.Context, c *callOf, pid int32) seccomp.Answer {
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	policy, _, errno := policyOf(ctx, c, p)
	if errno != 0 {
		return fails(errno)
	}
	return returns(policy)
}

// setScheduler is sched_setscheduler(2).
func setScheduler(ctx context.Context, c *callOf, pid, policy int32, at uint64) seccomp.Answer {
	var param [4]byte
	if errno := c.mem.read(param[:], at); errno != 0 {
		return fails(errno)
	}
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	return schedule(ctx, c, p, int64(policy), int32(binary.LittleEndian.Uint32(param[:])))
}

// schedule sets policy and priority.
func schedule(ctx context.Context, c *callOf, p *process, policy int64, priority int32) seccomp.Answer {
	name, ok := policies[policy]
	if !ok || priority < 0 {
		return fails(unix.EINVAL)
	}
	t, errno := p.each(ctx)
	if errno != 0 {
		return fails(errno)
	}
	return c.does(ctx, t.text, "sched "+name+" "+decimal(priority), unix.CAP_SYS_NICE, false)
}

// getParam is sched_getparam(2): the real-time priority.
func getParam(ctx context.Context, c *callOf, pid int32, at uint64) seccomp.Answer {
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	_, priority, errno := policyOf(ctx, c, p)
	if errno == 0 {
		errno = c.mem.write(binary.LittleEndian.AppendUint32(nil, uint32(priority)), at)
	}
	return fails(errno)
}

// setParam is sched_setparam(2).
func setParam(ctx context.Context, c *callOf, pid int32, at uint64) seccomp.Answer {
	var param [4]byte
	if errno := c.mem.read(param[:], at); errno != 0 {
		return fails(errno)
	}
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	policy, _, errno := policyOf(ctx, c, p)
	if errno != 0 {
		return fails(errno)
	}
	return schedule(ctx, c, p, policy, int32(binary.LittleEndian.Uint32(param[:])))
}

// schedAttr is struct sched_attr (linux/sched/types.h). Its first version has 48 bytes.
type schedAttr struct {
	Size, Policy              uint32
	Flags                     uint64
	Nice                      int32
	Priority                  uint32
	Runtime, Deadline, Period uint64
	UtilLeast, UtilMost       uint32
}

const (
	schedAttrFirst = 48
	schedAttrSize  = 56
)

// getAttr is sched_getattr(2): what stat tells, the rest is 0.
func getAttr(ctx context.Context, c *callOf, pid int32, at uint64, size, flags uint32) seccomp.Answer {
	if flags != 0 || at == 0 || size < schedAttrFirst || size > 4096 {
		return fails(unix.EINVAL)
	}
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	size = min(size, schedAttrSize)
	policy, priority, errno := policyOf(ctx, c, p)
	if errno != 0 {
		return fails(errno)
	}
	a := schedAttr{Size: size, Policy: uint32(policy), Priority: uint32(priority)}
	if name := policies[policy]; name == "other" || name == "batch" {
		nice, errno := niceOf(ctx, c, p)
		if errno != 0 {
			return fails(errno)
		}
		a.Nice = int32(nice)
	}
	b, err := binary.Append(nil, binary.LittleEndian, a)
	if err != nil {
		return fails(unix.EIO)
	}
	return fails(c.mem.write(b[:size], at))
}

// setAttr is sched_setattr(2), without flags and what deadlines and utilization take.
func setAttr(ctx context.Context, c *callOf, pid int32, at uint64, flags uint32) seccomp.Answer {
	if flags != 0 || at == 0 {
		return fails(unix.EINVAL)
	}
	b := make([]byte, schedAttrSize)
	if errno := c.mem.read(b[:4], at); errno != 0 {
		return fails(errno)
	}
	size := binary.LittleEndian.Uint32(b)
	switch {
	case size == 0:
		size = schedAttrFirst
	case size < schedAttrFirst || size > 4096:
		return fails(unix.E2BIG)
	}
	if errno := c.mem.read(b[:min(size, schedAttrSize)], at); errno != 0 {
		return fails(errno)
	}
	var a schedAttr
	if _, err := binary.Decode(b, binary.LittleEndian, &a); err != nil {
		return fails(unix.EIO)
	}
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	if a.Flags != 0 {
		return fails(unix.EINVAL)
	}
	answer := schedule(ctx, c, p, int64(a.Policy), int32(a.Priority))
	name := policies[int64(a.Policy)]
	nice, errno := niceOf(ctx, c, p)
	if answer.Errno != 0 || name != "other" && name != "batch" || errno == 0 && nice == int64(a.Nice) {
		return answer
	}
	t, errno := p.each(ctx)
	if errno != 0 {
		return fails(errno)
	}
	return c.does(ctx, t.text, "nice "+decimal(a.Nice), unix.CAP_SYS_NICE, false)
}

// interval is sched_rr_get_interval(2), which nothing tells of policies other than FIFO and RR.
func interval(ctx context.Context, c *callOf, pid int32, at uint64) seccomp.Answer {
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	policy, _, errno := policyOf(ctx, c, p)
	if errno != 0 {
		return fails(errno)
	}
	var slice time.Duration
	switch policy {
	case policyFIFO:
	case policyRR:
		text, err := vfs.ReadFile(ctx, p.root, maxFile, "cluster", "where", p.name)
		rows, parseErr := report.ParseWhere(text)
		if err != nil || parseErr != nil || len(rows) != 1 {
			return fails(max(absent(err), unix.EPERM))
		}
		text, err = vfs.ReadFile(ctx, p.root, maxFile, "nodes", rows[0].Node, "sys", "kernel", "sched_rr_timeslice_ms")
		if err != nil {
			return fails(absent(err))
		}
		ms, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 32)
		if err != nil {
			return fails(unix.EIO)
		}
		slice = time.Duration(ms) * time.Millisecond
	default:
		return fails(unix.ENOSYS)
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(slice/time.Second))
	b = binary.LittleEndian.AppendUint64(b, uint64(slice%time.Second))
	return fails(c.mem.write(b, at))
}
