package procfs9p

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/aggrfs/aggrfs/internal/hostclock"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// facts says what a front end must know of the node.
func (l *Leaf) facts() (f snapshot.Facts, err error) {
	f = snapshot.Facts{Hz: hostclock.UserHZ(), PageSize: os.Getpagesize(), Version: l.cfg.Version}
	options, err := l.options()
	if err != nil {
		return f, err
	}
	f.HidePID, f.PIDGID = options.HidePID, options.GID
	if f.BootTime, err = hostclock.BootTime(); err != nil {
		return f, err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return f, err
	}
	f.Monotonic = now.Nano()
	err = procfile.Local(l.cfg.Root, func(fs procfs.FS) error {
		for name, field := range map[string]*string{
			"kernel/random/boot_id": &f.BootID, "kernel/osrelease": &f.Release, "kernel/hostname": &f.Hostname,
		} {
			words, err := fs.SysctlStrings(name)
			if err != nil {
				return err
			}
			if len(words) > 0 {
				*field = words[0]
			}
		}
		pidMax, err := fs.SysctlInts("kernel/pid_max")
		if err != nil {
			return err
		}
		if len(pidMax) != 1 || pidMax[0] <= 0 {
			return fmt.Errorf("%s/sys/kernel/pid_max: %v is not one number", l.cfg.Root, pidMax)
		}
		f.PIDMax = pidMax[0]
		return nil
	})
	return f, err
}

// options are those of the procfs, of the very mount that the leaf has open: they can be
// changed at any time. Where they cannot be found, as that mount is in no mount
// namespace that the leaf can see, the strictest are assumed. A shortage is an error.
func (l *Leaf) options() (procfile.Options, error) {
	m := mountOf(l.rootFD())
	for _, pid := range []int32{l.self, 1} {
		if pid == 0 {
			continue
		}
		info, err := l.readOwn(pidName(pid) + "/mountinfo")
		if isShortage(err) {
			return procfile.Options{}, err
		}
		if err == nil {
			if o, ok := m.options(info); ok {
				return o, nil
			}
		}
	}
	return procfile.Strictest, nil
}

// readOwn reads a file below the root for the leaf's own sake.
func (l *Leaf) readOwn(rel string) ([]byte, error) {
	fd, err := openAt(l.rootFD(), rel, openRead)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return l.readWhole(fd, false)
}

// mount is how a mount is named in mountinfo.
type mount struct {
	id  string // empty where the kernel does not tell, before Linux 5.8
	dev string // MAJOR:MINOR
}

func mountOf(fd int) (m mount) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return m
	}
	if st.Mask&unix.STATX_MNT_ID != 0 {
		m.id = strconv.FormatUint(st.Mnt_id, 10)
	}
	m.dev = fmt.Sprintf("%d:%d", st.Dev_major, st.Dev_minor)
	return m
}

// options finds m in a mountinfo file, or another mount of the same procfs: the
// options are those of the file system.
func (m mount) options(info []byte) (o procfile.Options, ok bool) {
	for at := range procfile.Mounts(info) {
		if at.FSType != "proc" || at.Device != m.dev {
			continue
		}
		if o, ok = procfile.ParseOptions(at.Options), true; at.ID == m.id {
			break
		}
	}
	return o, ok
}

// entryNames are the names that the directories of processes and threads have in
// the tree, as this process's own show them or, where it is not in the procfs, the
// first's; they are read once.
func (l *Leaf) entryNames(ctx context.Context, pids []pidIno) snapshot.Names {
	if names := l.entryList.Load(); names != nil {
		return *names
	}
	pid := l.self
	if pid == 0 && len(pids) > 0 {
		pid = pids[0].pid
	}
	process, err := l.namesIn(ctx, pidName(pid))
	if err != nil {
		return snapshot.Names{}
	}
	thread, err := l.namesIn(ctx, pidName(pid), "task", pidName(pid))
	if err != nil {
		return snapshot.Names{}
	}
	names := snapshot.NewNames(process, thread)
	l.entryList.Store(&names)
	return names
}

// namesIn lists a directory.
func (l *Leaf) namesIn(ctx context.Context, path ...string) ([]snapshot.Name, error) {
	n, _, err := vfs.WalkPath(ctx, dir{node{s: l.itself, id: l.seed, typ: vfs.TypeDir}}, path...)
	if err != nil {
		return nil, err
	}
	d := n.(dir)
	entries, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]snapshot.Name, 0, len(entries))
	for _, e := range entries {
		a, err := d.child(e.Name, e.Type).Attr(ctx)
		if err != nil {
			return nil, err
		}
		names = append(names, snapshot.Name{Name: e.Name, Mode: a.Mode})
	}
	return names, nil
}

// hiddenFromItself reports whether the leaf itself is one of those from whom a procfs
// with these options hides the processes of others: then it lists some of them only.
func (l *Leaf) hiddenFromItself(options procfile.Options) (bool, error) {
	if options.HidePID < procfile.HideProcess {
		return false, nil
	}
	own, err := l.own.Own()
	if err != nil {
		return false, err
	}
	who := vfs.Identity{UID: own.UID, GID: own.GID, Groups: own.Groups}
	return !own.Traces() && options.Hide(&who, procfile.HideProcess), nil
}
