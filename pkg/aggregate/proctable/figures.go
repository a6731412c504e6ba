package proctable

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// ErrNoFigures is that the node's leaf tells none: it is an older one, or no procsrv.
var ErrNoFigures = errors.New("the node tells no figures of itself")

// NodeFigures are the figures of a node and when they came.
type NodeFigures struct {
	upstream.HeldFigures
	At time.Time // by the front end's clock
}

// figures are those that came last of a node.
type figures struct {
	turn    *semaphore.Weighted // one exchange at a time
	newest  atomic.Pointer[NodeFigures]
	history snapshot.FigureHistory // for a front end above
}

func (f *figures) keep(h upstream.HeldFigures, at time.Time) {
	f.newest.Store(&NodeFigures{h, at})
	f.history.Add(h.Figures, at)
}

func (f *figures) last() upstream.HeldFigures {
	if n := f.newest.Load(); n != nil {
		return n.HeldFigures
	}
	return upstream.HeldFigures{}
}

func (f *figures) known(number uint64) *snapshot.Figures { return f.history.Find(number) }
