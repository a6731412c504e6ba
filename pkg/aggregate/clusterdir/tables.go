package clusterdir

import (
	"sync/atomic"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/pkg/aggregate/actions"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/monitor"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/sampler"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Config is what the tables are made of. All fields but Version are required.
type Config struct {
	Views    *view.Views
	Store    *cachepolicy.Store
	Numbers  *gpid.Numbering
	Users    access.Names
	Access   *access.Authority
	Timeouts upstream.Timeouts
	Version  string // of the program; "" is not known
	Base     synthetic.Base
	Now      func() time.Time
}

// Tables are those of one cluster.
type Tables struct {
	Config
	notes   notes
	monitor *monitor.Monitor
	lines   map[*proctable.Node]*atomic.Pointer[nodeLines] // of cluster/ps, as they were read last; the map never changes
}

// New makes the tables of a cluster.
func New(cfg Config) *Tables {
	t := &Tables{Config: cfg, lines: make(map[*proctable.Node]*atomic.Pointer[nodeLines])}
	t.monitor = monitor.New(monitor.Config{
		Sampler: sampler.New(sampler.Config{
			Nodes: cfg.Views.Nodes, Least: func() time.Duration { return cfg.Store.Policy().SampleMin },
		}),
		Users: cfg.Users, Access: cfg.Access, Base: cfg.Base, Now: cfg.Now,
	})
	for _, n := range cfg.Views.Nodes {
		t.lines[n] = new(atomic.Pointer[nodeLines])
	}
	return t
}

// Tidy drops what nobody has asked for lately.
func (t *Tables) Tidy() {
	for n, lines := range t.lines {
		dropLines(lines, n.Now())
	}
}

// Sampling is how many nodes are being sampled now.
func (t *Tables) Sampling() int { return t.monitor.Sampler.Running() }

// NewMeter is a meter of all nodes and processes, see monitor.Meter.
func (t *Tables) NewMeter(names bool) *monitor.Meter {
	return t.monitor.NewMeter(t.Views.Of(vfs.Root, proctable.Host{}), names)
}

// Dir is the directory for a session's view, whose number is id.
func (t *Tables) Dir(s *actions.Session, id uint64) vfs.Node {
	return newDir(viewTables{s.View, t}, s, id)
}

// viewTables are the tables as one view has them.
type viewTables struct {
	*view.View
	t *Tables
}
