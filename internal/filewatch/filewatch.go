// Package filewatch notices that files have changed by looking at them now and then:
// inotify(7) says nothing of what changes on a file server.
//
// Two states of a file are told apart by what stat(2) says of it, and of the link that it
// may be: device, inode, mode, size and the time of its last change, which also moves
// with its owner and its name. File systems have coarse clocks of their own, so that two
// contents written in quick succession may look alike: see [Watch.Settle].
package filewatch

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Watch is some files as they were when they were last looked at. The zero Watch has
// looked at none. It is not for concurrent use.
type Watch struct {
	// Settle is how long a file must have been left alone for two contents of it to be
	// told apart; until then it counts as changed at each look. The zero value is for an
	// owner for whom the next change but one will do.
	Settle time.Duration

	seen    []stamp
	changes bool // a file had changed less than Settle before it was looked at
}

// Changed looks at the files and reports whether any has changed since the last look, has
// come or gone, or whether they are others. It is called before they are read: what
// changes while they are read shows at the next look.
func (w *Watch) Changed(paths ...string) bool {
	now, changed := make([]stamp, len(paths)), w.changes
	w.changes = false
	for i, path := range paths {
		now[i] = stampOf(path)
		w.changes = w.changes || time.Since(now[i].file.changed()) < w.Settle
	}
	changed = changed || w.seen == nil || !slices.Equal(now, w.seen)
	w.seen = now
	return changed
}

// A stamp is a path, what a link there was, and what it led to.
type stamp struct {
	path       string
	link, file state
}

// state is of one inode, zero where there is none that can be looked at.
type state struct {
	dev, ino uint64
	mode     uint32
	size     int64
	ctime    unix.Timespec
}

func (s state) changed() time.Time { return time.Unix(s.ctime.Unix()) }

func stampOf(path string) stamp {
	s := stamp{path: path}
	var st unix.Stat_t
	if unix.Lstat(path, &st) == nil {
		s.link = state{st.Dev, st.Ino, st.Mode, st.Size, st.Ctim}
	}
	if s.file = s.link; st.Mode&unix.S_IFMT == unix.S_IFLNK {
		s.file = state{}
		if unix.Stat(path, &st) == nil {
			s.file = state{st.Dev, st.Ino, st.Mode, st.Size, st.Ctim}
		}
	}
	return s
}
