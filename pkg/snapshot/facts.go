package snapshot

import (
	"encoding/binary"
	"math"
	"syscall"
	"time"
)

// Facts is what a front end must know of a node to make sense of its processes.
type Facts struct {
	BootID   string    // /proc/sys/kernel/random/boot_id
	BootTime time.Time // CLOCK_REALTIME less CLOCK_BOOTTIME in the leaf's time namespace
	Hz       int       // clock ticks a second in stat (USER_HZ)
	PageSize int       // bytes
	PIDMax   int       // /proc/sys/kernel/pid_max
	Release  string    // /proc/sys/kernel/osrelease
	Hostname string    // /proc/sys/kernel/hostname
	Version  string    // of procsrv

	// HidePID and PIDGID are the options of the leaf's procfs that say to whom a
	// process does not exist, or shows nothing, who has no ptrace read access to
	// it: hidepid= (0, 1, 2, or 4 for "ptraceable") and gid=, whose members see
	// all the same, except for 4. See proc(5).
	HidePID int
	PIDGID  uint32

	// Keep is how long the answer may be cached where its maker knows that better
	// than its reader, as one does that made it of what it held itself; 0 is
	// "as the reader sees fit".
	Keep time.Duration

	// Age is how long before the answer was sent the sweep began that it is of.
	Age time.Duration

	// Lacks is why processes that exist are not in the table, or without their stat:
	// the first error that the leaf had, ETIMEDOUT where it ran out of time, EFBIG where
	// the table has no room for more. 0 is that none is missing. See Table.Skipped.
	Lacks syscall.Errno

	// Monotonic is the node's CLOCK_MONOTONIC when the sweep began, in ns: what changed between
	// two tables did so in the difference. A leaf that tells it understands Request.Figures; 0 is
	// one that does not.
	Monotonic int64
}

func appendFacts(b []byte, f Facts) []byte {
	start := len(b)
	b = append(b, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.BootTime.UnixNano()))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.Hz))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.PageSize))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.PIDMax))
	for _, s := range []string{f.BootID, f.Release, f.Hostname, f.Version} {
		b = appendStr(b, s)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(f.Keep))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.HidePID))
	b = binary.LittleEndian.AppendUint32(b, f.PIDGID)
	b = binary.LittleEndian.AppendUint64(b, uint64(f.Age))
	b = binary.LittleEndian.AppendUint16(b, uint16(f.Lacks))
	if f.Monotonic != 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(f.Monotonic))
	}
	binary.LittleEndian.PutUint16(b[start:], uint16(len(b)-start-2))
	return b
}

func (r *reader) facts() Facts {
	n := r.u16()
	sub := &reader{what: r.what, b: r.take(n)}
	f := Facts{BootTime: time.Unix(0, int64(sub.u64()))}
	f.Hz = sub.count("clock ticks a second")
	f.PageSize = sub.count("page size")
	f.PIDMax = sub.count("pid_max")
	for _, s := range []*string{&f.BootID, &f.Release, &f.Hostname, &f.Version} {
		*s = sub.str()
	}
	if f.Keep = time.Duration(sub.u64()); f.Keep < 0 {
		sub.fail("keep is negative")
	}
	switch f.HidePID = int(sub.u32()); f.HidePID {
	case 0, 1, 2, 4:
	default:
		sub.fail("hidepid is %d, must be 0, 1, 2 or 4", f.HidePID)
	}
	f.PIDGID = sub.u32()
	if f.Age = time.Duration(sub.u64()); f.Age < 0 {
		sub.fail("age is negative")
	}
	if sub.off < len(sub.b) { // a leaf from before there was this one says nothing
		if f.Lacks = syscall.Errno(sub.u16()); f.Lacks > maxErrno {
			sub.fail("errno %d", f.Lacks)
		}
	}
	if sub.off < len(sub.b) { // the same
		if f.Monotonic = int64(sub.u64()); f.Monotonic < 0 {
			sub.fail("a monotonic clock below zero")
		}
	}
	if sub.err != nil {
		r.fail("facts: %v", sub.err)
	}
	return f
}

// count is a number that must be positive: a zero here would be divided by.
func (r *reader) count(what string) int {
	n := r.u32()
	if r.err == nil && (n == 0 || n > math.MaxInt32) {
		r.fail("%s is %d", what, n)
	}
	return int(n)
}
