package snapshot

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Figures are the numbers that a node tells of itself at one moment, beside its processes: what it
// has counted, and how much of something there is. They never change and may be used concurrently.
//
// What a number means is its group's and field's name to say: the format knows none of them, so
// that a leaf may tell of more than its front end understands, and of less than it would like.
type Figures struct {
	number uint64 // names them in a request; 0 is that they cannot be asked about
	groups []Group
}

// A Group is some figures that belong together: a table of a row each of something that the node
// has many of, disks say, or of a single row without a name.
type Group struct {
	Name   string
	Fields []string
	Rows   []string
	Values []int64 // row by row
}

// The groups that procsrv tells of; package meter below pkg/procfs9p has their fields.
const (
	ClockFigures    = "clock"
	LoadFigures     = "load"
	CPUFigures      = "cpu"
	EventFigures    = "events"
	MemoryFigures   = "memory"
	PagingFigures   = "paging"
	NetFigures      = "net"
	DiskFigures     = "disk"
	PressureFigures = "pressure"
	SpaceFigures    = "space"
)

// Limits of figures. A leaf keeps to them; an answer with more is refused.
const (
	MaxGroups    = 32
	MaxFields    = 64   // of a group
	MaxGroupRows = 1024 // of a group
)

// NewFigures are those groups, which must not change any more; what is over the limits is left out.
func NewFigures(groups []Group) *Figures {
	groups = slices.Clone(groups[:min(len(groups), MaxGroups)])
	for i := range groups {
		g := &groups[i]
		if most := MaxGroupRows; len(g.Rows) > most {
			g.Rows, g.Values = g.Rows[:most], g.Values[:most*len(g.Fields)]
		}
	}
	return &Figures{groups: groups}
}

// Groups are all there are. The caller must not change them.
func (f *Figures) Groups() []Group {
	if f == nil {
		return nil
	}
	return f.groups
}

// Group is the group of that name; nil is that there is none, of nil figures as well.
func (f *Figures) Group(name string) *Group {
	if f == nil {
		return nil
	}
	for i := range f.groups {
		if f.groups[i].Name == name {
			return &f.groups[i]
		}
	}
	return nil
}

// Value is a figure of a group of a single row.
func (f *Figures) Value(group, field string) (value int64, ok bool) {
	return f.Group(group).Value(0, field)
}

// Value is a figure of one row; not ok if there is none.
func (g *Group) Value(row int, field string) (value int64, ok bool) {
	if g == nil || row < 0 || row >= len(g.Rows) {
		return 0, false
	}
	k := slices.Index(g.Fields, field)
	if k < 0 {
		return 0, false
	}
	return g.Values[row*len(g.Fields)+k], true
}

// A Meter takes a node's figures. What it cannot read it leaves out. It is never called twice at
// once, and ends soon after ctx.
type Meter func(ctx context.Context) *Figures

// rememberedFigures is how many figures a server remembers: each asker holds one of the last.
const rememberedFigures = 4

// FigureHistory is the last figures of a node, to which the next can be the difference. Its zero
// value is empty; it may be used concurrently.
type FigureHistory struct {
	mu   sync.Mutex
	last []*Figures // the newest last; guarded by mu
	at   time.Time  // when that was taken; guarded by mu
}

// Add remembers f, taken at that moment, and returns it with the number by which it can be asked
// about; one that has a number keeps it.
func (h *FigureHistory) Add(f *Figures, at time.Time) *Figures {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.number == 0 {
		number := rand.Uint64()>>2 + 1
		if len(h.last) > 0 {
			number = h.last[len(h.last)-1].number + 1
		}
		f = &Figures{number: number, groups: f.groups}
	}
	if len(h.last) == rememberedFigures {
		h.last = slices.Delete(h.last, 0, 1)
	}
	h.last, h.at = append(h.last, f), at
	return f
}

// Since is the newest, if it was not taken before that moment; nil otherwise.
func (h *FigureHistory) Since(moment time.Time) *Figures {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.last) == 0 || h.at.Before(moment) {
		return nil
	}
	return h.last[len(h.last)-1]
}

// Find is the figures of that number; nil if they are not remembered.
func (h *FigureHistory) Find(number uint64) *Figures {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.last {
		if f.number == number && number != 0 {
			return f
		}
	}
	return nil
}

// RowNames are the names of the rows; none of a nil group.
func (g *Group) RowNames() []string {
	if g == nil {
		return nil
	}
	return g.Rows
}
