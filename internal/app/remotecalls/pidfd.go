package remotecalls

import (
	"bytes"
	"context"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/internal/seccomp"
)

// pidfdSendSignal is pidfd_send_signal(2), which takes a directory of a procfs for a process. One
// of the tree is a process of the tree. Of the head node's own processes it is replaced by the
// native directory, and the kernel does the rest, with the caller's rights; so it does with
// everything else.
func pidfdSendSignal(c *callOf, ctx context.Context) seccomp.Answer {
	fd, signal, flags := c.n.Int(0), c.n.Int(1), uint32(c.n.Args[3])
	d, ok := directoryOf(c, fd)
	if !ok {
		return kernel
	}
	p, errno := c.findAt(ctx, d.name)
	if errno != 0 {
		return fails(errno)
	}
	if p.id != d.ino {
		return fails(unix.ESRCH) // the name is another process's by now
	}
	pid, _, _ := bytes.Cut(p.stat, []byte(" "))
	number, err := strconv.ParseInt(string(pid), 10, 32)
	if err != nil {
		return fails(unix.EIO)
	}
	if number <= seccomp.MaxPID {
		return replace(c, fd, d, number, p)
	}
	if flags != 0 {
		return fails(unix.EINVAL)
	}
	var info *sigInfo
	if at := c.n.Args[2]; at != 0 {
		if info, errno = infoAt(c, at); errno != 0 {
			return fails(errno)
		}
	}
	t, errno := p.whole(ctx)
	if errno != 0 {
		return fails(errno)
	}
	return send(ctx, c, t, signal, info)
}

// userHZ is how many ticks a second has in a stat file, on the processors that seccomp knows.
const userHZ = 100

// replace puts the native directory of a process of this machine in the place of the tree's, if it
// is the same process.
func replace(c *callOf, fd int32, d directory, pid int64, p *process) seccomp.Answer {
	native, err := unix.Open(c.s.cfg.Native+"/"+strconv.FormatInt(pid, 10), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fails(unix.ESRCH)
	}
	defer unix.Close(native)
	stat := make([]byte, 4096)
	file, err := unix.Openat(native, "stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fails(unix.ESRCH)
	}
	n, err := unix.Read(file, stat)
	unix.Close(file)
	if err != nil {
		return fails(unix.ESRCH)
	}
	now, ok1 := procfile.StatNumber(stat[:n], fieldStart)
	was, ok2 := procfile.StatNumber(p.stat, fieldStart)
	if !ok1 || !ok2 || now+int64(c.s.cfg.Shift/time.Second)*userHZ != was {
		return fails(unix.ESRCH)
	}
	if err := c.s.cfg.Listener.Replace(c.n.ID, int(fd), native, d.cloexec); err != nil {
		return fails(unix.EBADF)
	}
	return kernel
}

// A directory is one of the tree that the caller has open: a process's.
type directory struct {
	name    string // in the tree's root
	ino     uint64
	cloexec bool
}

// directoryOf is what the caller's descriptor is, by the native procfs (proc_pid_fdinfo(5),
// proc_pid_mountinfo(5)); not ok for what is no process's directory of this tree. No file of any
// mount is looked at: users make mounts that let others wait.
func directoryOf(c *callOf, fd int32) (d directory, ok bool) {
	if fd < 0 || c.s.cfg.Mount == "" {
		return d, false
	}
	thread := c.s.cfg.Native + "/" + strconv.Itoa(c.who.tid)
	info, err := os.ReadFile(thread + "/fdinfo/" + decimal(fd))
	if err != nil {
		return d, false
	}
	mount := procfile.StatusValue(info, "mnt_id")
	ino, err1 := strconv.ParseUint(string(procfile.StatusValue(info, "ino")), 10, 64)
	flags, err2 := strconv.ParseUint(string(procfile.StatusValue(info, "flags")), 8, 64)
	if len(mount) == 0 || err1 != nil || err2 != nil {
		return d, false
	}
	text, err := os.Readlink(thread + "/fd/" + decimal(fd))
	if err != nil {
		return d, false
	}
	mounts, err := os.ReadFile(thread + "/mountinfo")
	if err != nil || !c.s.cfg.Listener.Valid(c.n.ID) {
		return d, false
	}
	for line := range strings.Lines(string(mounts)) {
		// 36 35 0:50 /root /point rw ...: the tree's device, and how the mount is seen
		f := strings.Fields(line)
		if len(f) < 5 || f[0] != string(mount) || f[2] != c.s.cfg.Mount {
			continue
		}
		below, found := strings.CutPrefix(text, strings.TrimSuffix(f[4], "/"))
		if !found {
			return d, false
		}
		name, ok := processAt(path.Join(f[3], below))
		return directory{name: name, ino: ino, cloexec: flags&unix.O_CLOEXEC != 0}, ok
	}
	return d, false
}

// processAt is the name, in the tree's root, of the process whose directory is at a path of the
// tree.
func processAt(at string) (name string, ok bool) {
	parts := strings.Split(strings.Trim(at, "/"), "/")
	last := len(parts) - 1
	switch {
	case last == 2 && parts[0] == "nodes":
		if _, err := strconv.ParseUint(parts[2], 10, 31); err != nil {
			return "", false
		}
		return parts[1] + ":" + parts[2], true
	case last%2 != 0: // sets/NODESET and users/USER, any number of them, and the process
		return "", false
	}
	for i := 0; i < last; i += 2 {
		if parts[i] != "sets" && parts[i] != "users" {
			return "", false
		}
	}
	_, pid, qualified := strings.Cut(parts[last], ":")
	if !qualified {
		pid = parts[last]
	}
	_, err := strconv.ParseUint(pid, 10, 31)
	return parts[last], err == nil
}
