// Package monitor is the files of cluster/ that are made of samples: what the nodes and the processes
// of a view use, as tables in text and in JSON.
//
// # Model
//
// To open a file is to read the sampler ([sampler.Sampler.Read]); its content is what is known then,
// for the view. A node's figures are shown to those who may read the file of the node that they are
// of, a process's numbers to those to whom cluster/ps shows the process. docs/namespace.md has the
// files and their columns, pkg/aggregate/report the rows.
package monitor

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/sampler"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Config is what a monitor is made of. All fields are required.
type Config struct {
	Sampler *sampler.Sampler
	Users   access.Names
	Access  *access.Authority
	Base    synthetic.Base
	Now     func() time.Time
}

// A Monitor makes the files for all views of a cluster. It may be used concurrently.
type Monitor struct{ Config }

// New makes a monitor.
func New(cfg Config) *Monitor { return &Monitor{cfg} }

// Of are the files of a view.
func (m *Monitor) Of(v *view.View) Files { return files{v, m} }

// A Summary is how busy a node is, as a row of cluster/nodes has it; nil is not known.
type Summary struct{ Load, CPU, Mem *float64 }

// Nodes are the summaries of some nodes of a view, in their order.
func (m *Monitor) Nodes(ctx context.Context, v *view.View, nodes []*proctable.Node) []Summary {
	all := make([]Summary, len(nodes))
	for i, r := range m.Sampler.Read(ctx, nodes, sampler.Want{}) {
		f := newFigures(files{v, m}, &r)
		all[i] = Summary{Load: f.of(snapshot.LoadFigures, "loadavg").scaled("load1", 100), CPU: f.usedCPU(), Mem: f.usedMemory()}
	}
	return all
}

// Files are those of one view.
type Files interface {
	// Names are those that are listed.
	Names() []string
	// Walk is the file or directory of that name in the directory whose number is dir; ENOENT if
	// there is none.
	Walk(dir uint64, name string) (vfs.Node, error)
}

type files struct {
	*view.View
	f *Monitor
}

// Every is the directory below which the files are for a reader who looks at another interval than
// a second: every/100ms/load.
const Every = "every"

// RatesFile is the name of the table of what each process uses, for commands; it is not listed.
const RatesFile = "rates"

// jsonSuffix ends the name of a file's twin in JSON.
const jsonSuffix = ".json"

// A content is a table in both of its forms.
type content interface {
	Text() []byte
	JSON() ([]byte, error)
}

// tables are what the files show, by name.
var tables = map[string]func(context.Context, files, time.Duration) content{
	"load": load, "cpu": cpu, "mem": mem, "net": net,
	"disk": disk, "pressure": pressure,
	"top": top, "users": userSums, "commands": commandSums,
	"jobs": jobSums, "units": unitSums, "containers": containerSums,
	"allocations": allocations,
}

// tableNames are their names and those of their twins, sorted.
var tableNames = func() (names []string) {
	for name := range tables {
		names = append(names, name, name+jsonSuffix)
	}
	slices.Sort(names)
	return names
}()

// has reports whether a file exists for the view. What a network interface has
// carried is of all processes: a limited view does not have net/ of a node either.
func (v files) has(name string) bool {
	name = strings.TrimSuffix(name, jsonSuffix)
	_, ok := tables[name]
	return ok && (name != "net" || !v.Limited())
}

// Names implements Files.
func (v files) Names() []string {
	return slices.DeleteFunc(slices.Clone(tableNames), func(name string) bool { return !v.has(name) })
}

// Walk implements Files.
func (v files) Walk(dir uint64, name string) (vfs.Node, error) {
	id := objectid.Child(dir, name)
	if name != Every {
		return v.file(id, name, sampler.DefaultEvery)
	}
	return v.f.Base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
		every, err := time.ParseDuration(name)
		if err != nil || every <= 0 || every > sampler.MaxEvery {
			return nil, syscall.ENOENT
		}
		id := objectid.Child(id, name)
		return v.f.Base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
			return v.file(objectid.Child(id, name), name, every)
		}, nil), nil
	}, nil), nil
}

// file is a file, for a reader who looks at that interval.
func (v files) file(id uint64, name string, every time.Duration) (vfs.Node, error) {
	if name == RatesFile {
		return rates(v, id, every), nil
	}
	if is, asJSON := isWatch(name); is {
		return v.watchFile(id, every, asJSON), nil
	}
	if !v.has(name) {
		return nil, syscall.ENOENT
	}
	name, asJSON := strings.CutSuffix(name, jsonSuffix)
	return v.f.Base.File(id, func(ctx context.Context) ([]byte, error) {
		if !v.has(name) {
			return nil, syscall.ENOENT // the view has changed
		}
		table := tables[name](ctx, v, every)
		if asJSON {
			return table.JSON()
		}
		return table.Text(), nil
	}), nil
}

// A sampled is a sample of the nodes of a view, on its way to become a table.
type sampled struct {
	v        files
	readings []sampler.Reading // without those of nodes that are missing
	answer   report.Answer
}

// sample reads what is known of the nodes.
func (v files) sample(ctx context.Context, w sampler.Want) *sampled {
	s := &sampled{v: v, answer: report.Answer{At: v.f.Now(), Sampled: true}}
	for _, r := range v.f.Sampler.Read(ctx, v.Nodes(), w) {
		n := r.Node
		if !v.Reaches(n) {
			continue
		}
		over := r.Over()
		switch {
		case r.Err != nil:
			n.Miss()
			s.answer.Remarks = append(s.answer.Remarks, report.Remark{Kind: report.Missing, Node: string(n.Name), Reason: n.Reason(r.Err)})
			continue
		case r.Age > 0:
			n.Miss()
			s.answer.Remarks = append(s.answer.Remarks, report.Remark{Kind: report.Stale, Node: string(n.Name), Age: report.Age(max(r.Age, 100*time.Millisecond))})
		}
		if w.Processes {
			over = r.Rates().Over
		}
		s.answer.Interval = max(s.answer.Interval, over)
		s.readings = append(s.readings, r)
	}
	s.answer.NoNodes = len(s.readings) == 0 && len(s.answer.Remarks) == 0
	return s
}

// nobody is the owner of what is no process's.
func nobody() (uint32, bool) { return 0, false }

// shows reports whether what a file of a node says may be shown: as if it were read there.
func (v files) shows(r *sampler.Reading, path string) bool {
	return v.Admits(r.Node, nobody, strings.Split(path, "/"))
}
