package aggregate

import (
	"slices"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/internal/cgroup"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// clock turns a node's numbers into the reader's, for one boot of the node. It is made
// from the facts of the first snapshot of that boot and stays as it is for as long as
// the front end runs. A start time is counted in ticks since the node's boot, which
// never change; when that was, by the node's wall clock, moves with each step of that
// clock. Were start times to follow, every process on the node would seem to be another
// one to who tells processes apart by pid and start time, as psutil does.
type clock struct {
	bootID string
	facts  snapshot.Facts // as of when it was made

	mu   sync.Mutex
	maps map[time.Time]*rewrite.Map // guarded by mu; by the boot of the reader's machine
}

func newClock(f snapshot.Facts) *clock {
	return &clock{bootID: f.BootID, facts: f, maps: map[time.Time]*rewrite.Map{}}
}

// maxMaps is how many readers' boots a clock remembers.
const maxMaps = 64

// clocks are those of a node's boots, so that a connection that is made anew finds the
// clock that its processes had before.
type clocks struct {
	mu  sync.Mutex
	all []*clock // guarded by mu; the one used last comes last
}

// maxBoots is how many boots of a node are remembered: a node has one at a time, and a
// leaf that makes them up forgets its own.
const maxBoots = 8

// of is the clock of the boot that the facts are of. A node that does not name its boots
// has another clock on each connection.
func (s *clocks) of(f snapshot.Facts) *clock {
	if f.BootID == "" {
		return newClock(f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.all, func(k *clock) bool { return k.bootID == f.BootID })
	var k *clock
	if i >= 0 {
		k = s.all[i]
		s.all = slices.Delete(s.all, i, i+1)
	} else {
		k = newClock(f)
		if len(s.all) >= maxBoots {
			s.all = slices.Delete(s.all, 0, 1)
		}
	}
	s.all = append(s.all, k)
	return k
}

// last is the clock of the boot that was used last; nil is none.
func (s *clocks) last() *clock {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return nil
	}
	return s.all[len(s.all)-1]
}

// inTicks is d in ticks of that many a second, to the nearest: two clocks that
// differ by microseconds make no tick.
func inTicks(d time.Duration, hz int64) int64 {
	d = d.Round(time.Second / time.Duration(hz))
	return int64(d/time.Second)*hz + int64(d%time.Second)*hz/int64(time.Second)
}

// mapping returns what rewrites the files of a node with those facts for a
// reader on machine h.
func (c *Cluster) mapping(n *node, f snapshot.Facts, h host) *rewrite.Map {
	k := n.clock.Load()
	if k == nil || k.bootID != f.BootID {
		k = n.clocks.of(f) // of a table from before the connection was made anew
	}
	return k.mapFor(c, n, h)
}

// setClock notes of which boot the node is, by the facts of a snapshot that has just
// come.
func (n *node) setClock(f snapshot.Facts) {
	if k := n.clock.Load(); k == nil || k.bootID != f.BootID {
		n.clock.Store(n.clocks.of(f))
	}
}

// mapFor is the mapping for a reader on machine h.
func (k *clock) mapFor(c *Cluster, n *node, h host) *rewrite.Map {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.maps[h.boot]
	if m != nil {
		return m
	}
	boot := k.facts.BootTime
	if n.index == 0 {
		boot = c.host.boot // the same machine, whose clock was read twice
	}
	m = &rewrite.Map{
		PID:        func(native int64) int64 { return int64(n.gpid(gpid.PID(native))) },
		StartShift: inTicks(boot.Sub(h.boot), h.hz),
		HzFrom:     int64(k.facts.Hz), HzTo: h.hz,
		PageFrom: int64(k.facts.PageSize), PageTo: h.pageSize,
	}
	if c.cfg.CgroupNode && n.index != 0 {
		m.CgroupSlice = string(cgroup.AppendSlice(nil, string(n.name)))
	}
	if len(k.maps) >= maxMaps {
		clear(k.maps)
	}
	k.maps[h.boot] = m
	return m
}
