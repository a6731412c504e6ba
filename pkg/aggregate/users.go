package aggregate

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newUsersDir makes users/: at the top of the tree it lists the users who have
// processes in the view; any user can be walked.
func newUsersDir(v *view, id uint64) vfs.Node {
	return &madeDir{made: v.c.made, id: id, walk: func(ctx context.Context, name string) (vfs.Node, error) {
		sub, err := v.ofUser(ctx, name)
		if err != nil {
			return nil, err
		}
		return &root{sub}, nil
	}, list: func(ctx context.Context) ([]vfs.DirEntry, error) {
		if v.path != "" {
			return nil, nil
		}
		seen := map[uint32]bool{}
		for _, r := range eachNode(ctx, v.nodes(), func(ctx context.Context, n *node) roster { return n.sweptFor(ctx, v.who) }) {
			if r.t == nil {
				continue
			}
			for i := range r.t.Len() {
				if uid := r.t.Proc(i).UID; v.sees(uid) && r.has(i) {
					seen[uid] = true
				}
			}
		}
		all := make([]vfs.DirEntry, 0, len(seen))
		for uid := range seen {
			e := namedEntry(id, v.c.users.UserName(uid), vfs.TypeDir)
			e.ID = childID(id, userKey(uid))
			all = append(all, e)
		}
		return sortEntries(all), nil
	}}
}

// newSetsDir makes sets/: at the top of the tree it lists each node as the set
// of itself; any nodeset within the view can be walked.
func newSetsDir(v *view, id uint64) vfs.Node {
	return &madeDir{made: v.c.made, id: id, walk: func(_ context.Context, name string) (vfs.Node, error) {
		sub, err := v.set(name)
		if err != nil {
			return nil, err
		}
		return &root{sub}, nil
	}, list: func(context.Context) ([]vfs.DirEntry, error) {
		return v.nodeEntries(id), nil
	}}
}
