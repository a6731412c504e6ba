package tree

import (
	"slices"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// names are those that all processes of the view have, if that is known and the same
// for all of its nodes; what the view denies is not among them.
func (v viewTree) names(rosters []proctable.Roster) snapshot.Names {
	var all snapshot.Names
	for _, r := range rosters {
		if r.Table == nil {
			continue
		}
		names := r.Table.Table.Names()
		if !names.Known() || all.Known() && names != all {
			return snapshot.Names{}
		}
		all = names
	}
	process, thread := all.Lists()
	return snapshot.NewNames(v.shownNames(process, "0"), v.shownNames(thread, "0", "task", "0"))
}

// shownNames are those of list that the view has in such a directory.
func (v viewTree) shownNames(list []snapshot.Name, dir ...string) (shown []snapshot.Name) {
	for _, n := range list {
		path := append(slices.Clip(dir), n.Name)
		if !v.Denies(path...) && !(v.Limited() && (view.OfNetwork(path) || view.CountsOthers(path))) {
			shown = append(shown, n)
		}
	}
	return shown
}
