package aggregate

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// inTask tells whether r is the task directory of a process whose files are
// rewritten: its names are thread ids.
func (r *remote) inTask() bool {
	return r.proc != nil && r.proc.m != nil && len(r.path) == 2 && r.path[1] == "task"
}

// nativeName is what name, as the merged tree has it, is called on the node.
func (r *remote) nativeName(name string) (string, bool) {
	if !r.inTask() {
		return name, true
	}
	g, ok := gpid.Parse(name)
	if !ok {
		return "", false
	}
	index, tid, ok := r.n.numbers.Split(g)
	return strconv.Itoa(int(tid)), ok && index == r.n.index
}

// mergedNames turns a listing with native names into one of the merged tree.
func (r *remote) mergedNames(all []vfs.DirEntry) []vfs.DirEntry {
	out := make([]vfs.DirEntry, 0, len(all))
	for _, e := range all {
		path := append(slices.Clip(r.path), e.Name)
		if !vfs.ValidName(e.Name) || r.v.denies(path...) || r.v.limited() && (r.proc != nil && ofNetwork(path) || countsOthers(path)) {
			continue
		}
		if r.inTask() {
			tid, ok := gpid.Parse(e.Name)
			if !ok {
				continue
			}
			g := gpid.GPID(r.proc.m.PID(int64(tid)))
			if g == 0 {
				continue
			}
			e.Name = g.String()
		}
		e.ID = childID(r.id, e.Name)
		out = append(out, e)
	}
	return out
}

// A nameTable is the names that every process directory of a node has, and
// every thread directory: they are the same for all processes of one kernel
// (fs/proc/base.c lists them), so that a name that is not among them need not
// be asked for, and one that is need not be asked whether it exists.
type nameTable struct {
	process, thread map[string]uint32 // mode: type and permissions
}

// known returns the entry of that name without asking the node, nil where it
// cannot. Only for whom the tables have the process get such answers: what
// others see is the kernel's to say.
func (d *remoteDir) known(name, native string) vfs.Node {
	names := d.n.names.Load()
	path := append(slices.Clip(d.path), native)
	if d.proc == nil || names == nil || d.v.denies(path...) || ofNetwork(path) {
		return nil
	}
	t, _, keep, _ := d.held()
	if t == nil {
		return nil
	}
	var mode uint32
	switch {
	case len(d.path) == 1:
		mode = names.process[native]
	case len(d.path) == 3 && d.path[1] == "task":
		mode = names.thread[native]
	}
	if mode == 0 {
		return nil
	}
	r := remote{
		n: d.n, v: d.v, proc: d.proc,
		path: append(slices.Clip(d.path), native), id: childID(d.id, name),
		attr: vfs.Attr{Mode: mode, Nlink: 1, KeepName: keep},
	}
	if len(d.path) == 1 && readOnce[native] {
		return &knownFile{remoteFile{r}}
	}
	n, err := r.node()
	if err != nil {
		return nil
	}
	return n
}

// readOnce are the files that tools open, read and close, process after process,
// and nobody keeps open to read them again. A front may pass what is known of
// them to the kernel, which then holds the bytes while the file is open.
var readOnce = map[string]bool{"environ": true, "cgroup": true}

// knownFile is a file of a process that is read on demand, but whose attributes
// need not be asked for: the permissions are those of all files of its name,
// and the owner is in the table.
type knownFile struct{ remoteFile }

// Attr implements vfs.Node.
func (f *knownFile) Attr(ctx context.Context) (vfs.Attr, error) {
	if a := f.Preview(); a.Keep > 0 {
		return a, nil
	}
	return f.remoteFile.Attr(ctx)
}

// Preview implements vfs.Previewer.
func (f *knownFile) Preview() vfs.Attr {
	t, i, keep, _ := f.held()
	if t == nil {
		return f.remoteFile.Preview()
	}
	a := rowFileAttr(t, i, f.attr.Mode, keep)
	a.ID = f.id
	return a
}

// missing tells whether the process certainly has no file of that name, and how
// long that may be kept.
func (d *processDir) missing(name string) (keep time.Duration, ok bool) {
	names := d.n.names.Load()
	if names == nil || names.process[name] != 0 {
		return 0, false
	}
	t, _, keep, _ := d.held()
	return keep, t != nil
}

// nameTables are those of all nodes, of which most are equal.
type nameTables struct {
	mu  sync.Mutex
	all map[snapshot.Names]*nameTable // guarded by mu
}

// maxNameTables is how many different ones are remembered.
const maxNameTables = 256

func newNameTables() *nameTables { return &nameTables{all: make(map[snapshot.Names]*nameTable)} }

// of is the table of those names; nil where they are not known.
func (n *nameTables) of(names snapshot.Names) *nameTable {
	if !names.Known() {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.all[names]; t != nil {
		return t
	}
	if len(n.all) >= maxNameTables {
		clear(n.all)
	}
	process, thread := names.Lists()
	t := &nameTable{process: modes(process), thread: modes(thread)}
	n.all[names] = t
	return t
}

func modes(list []snapshot.Name) map[string]uint32 {
	m := make(map[string]uint32, len(list))
	for _, n := range list {
		m[n.Name] = n.Mode
	}
	return m
}

// names are those that all processes of the view have, if that is known and the same
// for all of its nodes; what the view denies is not among them.
func (v *view) names(rosters []roster) snapshot.Names {
	var all snapshot.Names
	for _, r := range rosters {
		if r.t == nil {
			continue
		}
		names := r.t.Names()
		if !names.Known() || all.Known() && names != all {
			return snapshot.Names{}
		}
		all = names
	}
	process, thread := all.Lists()
	return snapshot.NewNames(v.shownNames(process, "0"), v.shownNames(thread, "0", "task", "0"))
}

// shownNames are those of list that the view has in such a directory.
func (v *view) shownNames(list []snapshot.Name, dir ...string) (shown []snapshot.Name) {
	for _, n := range list {
		path := append(slices.Clip(dir), n.Name)
		if !v.denies(path...) && !(v.limited() && (ofNetwork(path) || countsOthers(path))) {
			shown = append(shown, n)
		}
	}
	return shown
}
