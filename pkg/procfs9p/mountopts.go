package procfs9p

import (
	"bytes"
	"slices"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// mountOptions are the options of the procfs that decide who may see which
// process, see proc(5).
type mountOptions struct {
	hidePID int    // hidepid=, 0, 1, 2 or 4
	gid     uint32 // gid=: its members see all, unless hidePID is 4
}

// Values of hidepid=.
const (
	hideNothing    = 0 // "off"
	hideContent    = 1 // "noaccess": what is in the directories of others
	hideProcess    = 2 // "invisible": that they exist
	hideUntraced   = 4 // "ptraceable": the same, and from the members of gid= too
	hidePIDUnknown = hideUntraced
)

// hidePIDs are the values as mountinfo has them: names since Linux 5.8.
var hidePIDs = map[string]int{
	"off": hideNothing, "noaccess": hideContent, "invisible": hideProcess, "ptraceable": hideUntraced,
	"0": hideNothing, "1": hideContent, "2": hideProcess, "4": hideUntraced,
}

// mountOptions reads them of the very mount that the leaf has open: they can be
// changed at any time. Where they cannot be found, as that mount is in no mount
// namespace that the leaf can see, the strictest are assumed. A shortage is an error.
func (l *Leaf) mountOptions() (mountOptions, error) {
	m := mountOf(l.rootFD())
	for _, pid := range []int32{l.self, 1} {
		if pid == 0 {
			continue
		}
		info, err := l.readOwn(pidName(pid) + "/mountinfo")
		if isShortage(err) {
			return mountOptions{}, err
		}
		if err == nil {
			if o, ok := m.options(info); ok {
				return o, nil
			}
		}
	}
	return mountOptions{hidePID: hidePIDUnknown}, nil
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

// mount is how a mount is named in mountinfo, see proc_pid_mountinfo(5).
type mount struct {
	id  []byte // empty where the kernel does not tell, before Linux 5.8
	dev []byte // MAJOR:MINOR
}

func mountOf(fd int) mount {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return mount{}
	}
	var m mount
	if st.Mask&unix.STATX_MNT_ID != 0 {
		m.id = strconv.AppendUint(nil, st.Mnt_id, 10)
	}
	m.dev = strconv.AppendUint(nil, uint64(st.Dev_major), 10)
	m.dev = strconv.AppendUint(append(m.dev, ':'), uint64(st.Dev_minor), 10)
	return m
}

// options finds m in a mountinfo file, or another mount of the same procfs: the
// options are those of the file system.
func (m mount) options(info []byte) (o mountOptions, ok bool) {
	for line := range bytes.Lines(info) {
		fields := bytes.Fields(line)
		i := slices.IndexFunc(fields, func(f []byte) bool { return string(f) == "-" })
		if i < 6 || len(fields) < i+4 || string(fields[i+1]) != "proc" || !bytes.Equal(fields[2], m.dev) {
			continue
		}
		if o, ok = parseMountOptions(fields[i+3]); bytes.Equal(fields[0], m.id) {
			break
		}
	}
	return o, ok
}

// parseMountOptions reads the options of the file system, "rw,gid=5,hidepid=2".
func parseMountOptions(options []byte) (o mountOptions, ok bool) {
	for opt := range bytes.SplitSeq(options, []byte(",")) {
		key, value, _ := bytes.Cut(opt, []byte("="))
		switch string(key) {
		case "hidepid":
			if o.hidePID, ok = hidePIDs[string(value)]; !ok {
				return mountOptions{hidePID: hidePIDUnknown}, true
			}
		case "gid":
			gid, err := strconv.ParseUint(string(value), 10, 32)
			if err != nil {
				return mountOptions{hidePID: hidePIDUnknown}, true
			}
			o.gid = uint32(gid)
		}
	}
	return o, true
}

// refuses says what who is told, without ptrace access to a process, about that
// process; of its directory where existence is asked for and nothing else. See
// has_pid_permissions in fs/proc/base.c.
func (o mountOptions) refuses(who *vfs.Identity, existence bool) error {
	member := who.GID == o.gid || slices.Contains(who.Groups, o.gid)
	switch {
	case o.hidePID == hideNothing, o.hidePID < hideUntraced && member, o.hidePID == hideContent && existence:
		return nil
	case o.hidePID == hideContent:
		return syscall.EPERM
	}
	return syscall.ENOENT
}
