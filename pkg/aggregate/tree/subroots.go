package tree

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newUsersDir makes users/: at the top of the tree it lists the users who have
// processes in the view; any user can be walked.
func newUsersDir(v viewTree, id uint64) vfs.Node {
	return v.t.base.Dir(id, func(ctx context.Context, name string) (vfs.Node, error) {
		sub, err := v.OfUser(ctx, name)
		if err != nil {
			return nil, err
		}
		return &root{v.narrowed(sub)}, nil
	}, func(ctx context.Context) ([]vfs.DirEntry, error) {
		if v.Path != "" {
			return nil, nil
		}
		seen := map[uint32]bool{}
		for _, r := range proctable.Each(ctx, v.Nodes(), func(ctx context.Context, n *proctable.Node) proctable.Roster { return n.FreshRoster(ctx, v.Who) }) {
			if r.Table == nil {
				continue
			}
			for i := range r.Table.Len() {
				if uid := r.Table.Proc(i).UID; v.Sees(uid) && r.Has(i) {
					seen[uid] = true
				}
			}
		}
		all := make([]vfs.DirEntry, 0, len(seen))
		for uid := range seen {
			e := synthetic.Entry(id, v.t.Users.UserName(uid), vfs.TypeDir)
			e.ID = objectid.Child(id, view.UserKey(uid))
			all = append(all, e)
		}
		return synthetic.Sort(all), nil
	})
}

// newSetsDir makes sets/: at the top of the tree it lists each node as the set
// of itself; any nodeset within the view can be walked.
func newSetsDir(v viewTree, id uint64) vfs.Node {
	return v.t.base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
		sub, err := v.Set(name)
		if err != nil {
			return nil, err
		}
		return &root{v.narrowed(sub)}, nil
	}, func(context.Context) ([]vfs.DirEntry, error) {
		return v.nodeEntries(id), nil
	})
}
