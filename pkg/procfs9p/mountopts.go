package procfs9p

import (
	"fmt"
	"strconv"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"golang.org/x/sys/unix"
)

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
