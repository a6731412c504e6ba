package proctable

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/aggrfs/aggrfs/internal/cgroup"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// A Clock turns a node's numbers into the reader's, for one boot of the node. It is made
// from the facts of the first snapshot of that boot and stays as it is for as long as
// the front end runs. A start time is counted in ticks since the node's boot, which
// never change; when that was, by the node's wall clock, moves with each step of that
// clock. Were start times to follow, every process on the node would seem to be another
// one to who tells processes apart by pid and start time, as psutil does.
type Clock struct {
	BootID string
	n      *Node
	facts  snapshot.Facts // as of when it was made

	maps *lru.Cache[Host, *procfile.Map] // by the reader's machine

	// namespaces are the names met in the ns directory of a process. They are the same for all of
	// one kernel (fs/proc/namespaces.c lists them).
	namespaces *lru.Cache[string, struct{}]
}

func newClock(n *Node, f snapshot.Facts) *Clock {
	return &Clock{BootID: f.BootID, n: n, facts: f, maps: newLRU[Host, *procfile.Map](maxMaps), namespaces: newLRU[string, struct{}](maxNamespaces)}
}

// maxNamespaces is how many kinds of namespaces are remembered: kernels have eight, and ten names.
const maxNamespaces = 32

// NoteNamespace notes that the ns directory of a process has that name, and HasNamespace reports
// whether that of every process has.
func (k *Clock) NoteNamespace(name string) { k.namespaces.Add(name, struct{}{}) }

// HasNamespace is said of NoteNamespace.
func (k *Clock) HasNamespace(name string) bool { return k.namespaces.Contains(name) }

// maxMaps is how many readers' machines a clock remembers.
const maxMaps = 64

// clocks are those of a node's boots, so that a connection that is made anew finds the
// clock that its processes had before.
type clocks struct {
	n   *Node
	all *lru.Cache[string, *Clock] // by boot id
}

// maxBoots is how many boots of a node are remembered: a node has one at a time, and a
// leaf that makes them up forgets its own.
const maxBoots = 8

// of is the clock of the boot that the facts are of. A node that does not name its boots
// has another clock on each connection.
func (s *clocks) of(f snapshot.Facts) *Clock {
	k, ok := s.all.Get(f.BootID)
	if !ok {
		k = newClock(s.n, f)
		if f.BootID != "" {
			s.all.Add(f.BootID, k)
		}
	}
	return k
}

// last is the clock of the boot that was used last; nil is none.
func (s *clocks) last() *Clock {
	if all := s.all.Values(); len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}

// inTicks is d in ticks of that many a second, to the nearest: two clocks that
// differ by microseconds make no tick.
func inTicks(d time.Duration, hz int64) int64 {
	d = d.Round(time.Second / time.Duration(hz))
	return int64(d/time.Second)*hz + int64(d%time.Second)*hz/int64(time.Second)
}

// Map is what rewrites the node's files for a reader on machine h.
func (k *Clock) Map(h Host) *procfile.Map {
	if m, ok := k.maps.Get(h); ok {
		return m
	}
	n, boot := k.n, k.facts.BootTime
	own := n.Index == 0 && !h.Elsewhere
	if own {
		boot = n.Host.Boot // the same machine, whose clock was read twice
	}
	m := &procfile.Map{
		PID:        func(native int64) int64 { return int64(n.GPIDFor(h, gpid.PID(native))) },
		Most:       int64(n.Numbers.Most()),
		StartShift: inTicks(boot.Sub(h.Boot), h.Hz),
		HzFrom:     int64(k.facts.Hz), HzTo: h.Hz,
		PageFrom: int64(k.facts.PageSize), PageTo: h.PageSize,
		Machine: uint32(n.Index),
	}
	if !own {
		m.TTY = func(native int64) int64 { return n.Terminals.Number(n.Index, native) }
	}
	if n.CgroupNode && !own {
		m.CgroupSlice = string(cgroup.AppendSlice(nil, string(n.Name)))
	}
	if before, ok, _ := k.maps.PeekOrAdd(h, m); ok {
		return before
	}
	return m
}

// Hz is the node's USER_HZ.
func (k *Clock) Hz() int64 { return int64(k.facts.Hz) }

// BootTime is when the node was booted, as it said first.
func (k *Clock) BootTime() time.Time { return k.facts.BootTime }

// A Host is what rewriting needs to know of the reader's machine.
type Host struct {
	BootID   string
	Boot     time.Time
	Hz       int64
	PageSize int64
	// Elsewhere: it is not the front end's own machine, so that to its reader the head node is a
	// node like any other.
	Elsewhere bool
}
