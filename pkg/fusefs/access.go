package fusefs

import (
	"slices"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// The bits of access(2)'s mode.
const (
	mayExecute = 1
	mayWrite   = 2
	mayRead    = 4
)

// permitted reports whether the mode bits let somebody do all of mask: those of
// the owner, else of the group, else of all others. Root may read everything
// and execute what anybody may.
func permitted(a vfs.Attr, mask, uid, gid uint32, groups []uint32) fuse.Status {
	if mask&mayWrite != 0 {
		return fuse.EROFS
	}
	bits := a.Mode
	switch {
	case uid == 0:
		bits = mayRead
		if a.Type() == vfs.TypeDir || a.Mode&0o111 != 0 {
			bits |= mayExecute
		}
	case uid == a.UID:
		bits >>= 6
	case gid == a.GID || slices.Contains(groups, a.GID):
		bits >>= 3
	}
	if mask&^bits&(mayRead|mayExecute) != 0 {
		return fuse.EACCES
	}
	return fuse.OK
}
