// Package mountns is what a process does to a mount namespace of its own, and to
// itself before it becomes a command: what internal/nsexec and the program
// aggrfs-ns have in common. The latter has a capability that its callers lack, so
// this package imports nothing but the standard library and x/sys/unix, and
// takes nothing from the environment but the PATH in which a command is found.
package mountns

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Procfs is where a procfs is looked for, and where the tree goes.
const Procfs = "/proc"

// Inside is the name in the tree's root on which the native procfs is mounted.
const Inside = ".native"

// A Mount is what mount(2) is told about the tree.
type Mount struct {
	Source string
	FSType string
	Flags  uintptr // MS_* of mount(2)
	Data   string
}

// IsProcfs reports whether a procfs is what is at the path.
func IsProcfs(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.PROC_SUPER_MAGIC
}

// KeepIn has the mounts of this process' namespace no longer leave it.
func KeepIn() error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep mounts in the namespace: %w", err)
	}
	return nil
}

// Bind mounts a copy of what is mounted at one place, and below, at another.
func Bind(from, to string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("copy the mount at %s: %w", from, err)
	}
	defer unix.Close(tree)
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("keep %s at %s: %w", from, to, err)
	}
	return nil
}

// MountInside mounts a copy of the native procfs, which is at the path proc, on the name inside in the
// tree, which must be served; a tree that has no such name is left alone. It follows no link of the
// tree's: move_mount(2) does not, and the name is the last in the path.
func MountInside(proc, inside string) error {
	if inside == "" {
		return nil
	}
	err := Bind(proc, Procfs+"/"+inside)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// MountTree mounts the tree on /proc and returns the mount's number, as in
// proc_pid_mountinfo(5). proc is the native procfs.
func MountTree(m Mount, proc *os.File) (mount string, err error) {
	if err := unix.Mount(m.Source, Procfs, m.FSType, m.Flags, m.Data); err != nil {
		return "", fmt.Errorf("mount %s on %s (%s): %w", m.FSType, Procfs, m.Data, err)
	}
	if mount, err = mountAt(proc, Procfs); err == nil && mount == "" {
		err = fmt.Errorf("self/mountinfo does not show the mount of %s on %s", m.FSType, Procfs)
	}
	return mount, err
}

// CPUs is where programs count the CPUs: in sysfs, and below /proc in the tree.
const CPUs = "/sys/devices/system/cpu"

// CoverCPUs mounts the tree's CPUs over those of this machine, so that there are as many as in
// the tree's stat. The tree must be served. Where either has no such directory nothing is done.
// Nothing but the tree's own mount is mounted, whatever its server says.
func CoverCPUs() error {
	root, err := unix.Open(Procfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", Procfs, err)
	}
	defer unix.Close(root)
	dir, err := unix.Openat2(root, strings.TrimPrefix(CPUs, "/"), &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err == unix.ENOENT || err == unix.ENOSYS {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s%s: %w", Procfs, CPUs, err)
	}
	defer unix.Close(dir)
	tree, err := unix.OpenTree(dir, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("copy the mount of %s%s: %w", Procfs, CPUs, err)
	}
	defer unix.Close(tree)
	err = unix.MoveMount(tree, "", unix.AT_FDCWD, CPUs, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil && err != unix.ENOENT { // a container without sysfs
		return fmt.Errorf("mount the tree's CPUs on %s: %w", CPUs, err)
	}
	return nil
}

// UncoverCPUs undoes what CoverCPUs has done in this namespace, or what was done in the one that
// it was made from, as far as the kernel lets it. proc is the native procfs.
func UncoverCPUs(proc *os.File) error {
	top, err := mountAt(proc, CPUs)
	if err != nil || top == "" {
		return err
	}
	if err := unix.Unmount(CPUs, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL {
		return fmt.Errorf("unmount %s: %w", CPUs, err)
	}
	return nil
}

// TakeAway unmounts the tree, lazily, from this mount namespace: the mount of
// that number on /proc, if it still is the one on top there. proc is the native
// procfs.
//
// Only this namespace, and only that mount: numbers of devices and of mounts
// are used again as soon as they are free, so whoever unmounts by number in
// other namespaces will one day take a stranger's /proc away. A process of the
// command's that made a mount namespace of its own keeps the tree there, and
// after the server's end has a /proc that answers ENOTCONN.
func TakeAway(proc *os.File, mount string) error {
	top, err := mountAt(proc, Procfs)
	if err != nil || top != mount {
		return err
	}
	cpus := UncoverCPUs(proc)
	if err := unix.Unmount(Procfs, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", Procfs, err)
	}
	return cpus
}

// A mountEntry is one line of proc_pid_mountinfo(5).
type mountEntry struct {
	id     string // the kernel gives it to another mount once this one has gone
	point  string // relative to the root of this process
	fstype string
}

// mountAt is the number of the FUSE mount that lies uppermost on a place for
// this process; "" when what lies there is something else. proc is the native
// procfs.
func mountAt(proc *os.File, point string) (id string, err error) {
	fd, err := unix.Openat(int(proc.Fd()), "thread-self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open thread-self/mountinfo of the native procfs: %w", err)
	}
	f := os.NewFile(uintptr(fd), "self/mountinfo")
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	return uppermost(parseMounts(string(text)), point), nil
}

// uppermost is mountAt for a table whose latest mount comes last.
func uppermost(table []mountEntry, point string) (id string) {
	for _, e := range slices.Backward(table) {
		if e.point == point {
			if strings.HasPrefix(e.fstype, "fuse") {
				return e.id
			}
			return ""
		}
	}
	return ""
}

func parseMounts(text string) []mountEntry {
	var table []mountEntry
	for line := range strings.Lines(text) {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
		f := strings.Fields(line)
		if dash := slices.Index(f, "-"); dash > 5 && len(f) > dash+1 {
			table = append(table, mountEntry{id: f[0], point: unescape(f[4]), fstype: f[dash+1]})
		}
	}
	return table
}

// unescape undoes the kernel's \ooo for blanks, newlines and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
