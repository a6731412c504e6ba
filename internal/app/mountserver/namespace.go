package mountserver

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/fusefs/caller"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// procfs is the path of the native one.
type procfs string

// sharesPIDs reports whether a peer numbers processes as this process does.
func (p procfs) sharesPIDs(peer ninep.Peer) bool {
	var own, theirs unix.Stat_t
	if unix.Stat(string(p)+"/self/ns/pid", &own) != nil || peer.PID <= 0 ||
		unix.Stat(fmt.Sprintf("%s/%d/ns/pid", p, peer.PID), &theirs) != nil {
		return false
	}
	return own.Dev == theirs.Dev && own.Ino == theirs.Ino
}

// readsLink reports whether a thread reads the link that it asks for.
func (p procfs) readsLink(ctx context.Context, tid uint32) (reads, known bool) {
	return caller.ReadsLink(ctx, string(p), tid)
}

// groups are the supplementary groups of a thread.
func (p procfs) groups(tid uint32) ([]uint32, error) { return caller.ReadGroups(string(p), tid) }

// An idRange is a line of uid_map or gid_map, see user_namespaces(7).
type idRange struct{ inside, outside, count uint32 }

// idsOf translates owners to the numbers that they have in the user namespace of a peer. Who
// has none there is nobody, as the kernel has it: vfs.NoID.
func (p procfs) idsOf(peer ninep.Peer) func(uid, gid uint32) (uint32, uint32) {
	uids, err := p.idMap(peer, "uid_map")
	if err != nil {
		uids = []idRange{{peer.UID, peer.UID, 1}}
	}
	gids, err := p.idMap(peer, "gid_map")
	if err != nil {
		gids = []idRange{{peer.GID, peer.GID, 1}}
	}
	if isWhole(uids) && isWhole(gids) {
		return nil
	}
	return func(uid, gid uint32) (uint32, uint32) { return inside(uids, uid), inside(gids, gid) }
}

// idMap reads a peer's map of one kind.
func (p procfs) idMap(peer ninep.Peer, kind string) (all []idRange, err error) {
	if peer.PID <= 0 {
		return nil, os.ErrNotExist
	}
	text, err := os.ReadFile(fmt.Sprintf("%s/%d/%s", p, peer.PID, kind))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		var r idRange
		if _, err := fmt.Sscan(line, &r.inside, &r.outside, &r.count); err != nil {
			return nil, fmt.Errorf("%s of process %d: %w", kind, peer.PID, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// isWhole reports whether a map is that of who is in no namespace of their own.
func isWhole(ranges []idRange) bool {
	return len(ranges) == 1 && ranges[0] == idRange{0, 0, vfs.NoID}
}

// inside is an id as it is numbered inside.
func inside(ranges []idRange, id uint32) uint32 {
	for _, r := range ranges {
		if id >= r.outside && id-r.outside < r.count {
			return r.inside + (id - r.outside)
		}
	}
	return vfs.NoID
}
