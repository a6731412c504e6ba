package procsim

import (
	"context"
	"hash/fnv"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

var discard = slog.New(slog.DiscardHandler)

// object is a file, directory or link of a node's tree.
type object struct {
	n    *Node
	who  vfs.Identity
	id   uint64
	typ  vfs.Type
	pid  int    // 0: not below a process
	proc uint64 // the process's id
	rel  string // below the process, or the root
}

// entry is a name in a directory, and its mode.
type entry struct {
	name string
	mode uint32
}

const (
	fileMode = uint32(vfs.TypeFile)
	dirMode  = uint32(vfs.TypeDir)
	linkMode = uint32(vfs.TypeLink)
)

var (
	processEntries = []entry{
		{"cgroup", fileMode | 0o444}, {"cmdline", fileMode | 0o444}, {"comm", fileMode | 0o644}, {"cwd", linkMode | 0o777},
		{"environ", fileMode | 0o400}, {"exe", linkMode | 0o777}, {"fd", dirMode | 0o500}, {"io", fileMode | 0o400}, {"limits", fileMode | 0o444},
		{"maps", fileMode | 0o444}, {"oom_score", fileMode | 0o444}, {"root", linkMode | 0o777}, {"sessionid", fileMode | 0o444},
		{"stat", fileMode | 0o444}, {"statm", fileMode | 0o444}, {"status", fileMode | 0o444}, {"task", dirMode | 0o555}, {"wchan", fileMode | 0o444},
	}
	threadEntries = slices.DeleteFunc(slices.Clone(processEntries), func(e entry) bool { return e.name == "task" })
	rootEntries   = []entry{
		{"cpuinfo", fileMode | 0o444}, {"loadavg", fileMode | 0o444}, {"meminfo", fileMode | 0o444}, {"stat", fileMode | 0o444},
		{"sys", dirMode | 0o555}, {"uptime", fileMode | 0o444}, {"version", fileMode | 0o444}, {"vmstat", fileMode | 0o444},
	}
)

// entryNames are the names of process and thread directories, for snapshots.
var entryNames = sync.OnceValue(func() snapshot.Names {
	list := func(entries []entry) (names []snapshot.Name) {
		for _, e := range entries {
			names = append(names, snapshot.Name{Name: e.name, Mode: e.mode})
		}
		return names
	}
	return snapshot.NewNames(list(processEntries), list(threadEntries))
})

// ID implements vfs.Node.
func (o *object) ID() uint64 { return o.id }

// Type implements vfs.Node.
func (o *object) Type() vfs.Type { return o.typ }

// live is the process that o is below; it fails where that has ended.
func (o *object) live() (*process, error) {
	if o.pid == 0 {
		return nil, nil
	}
	p := o.n.process(o.pid)
	if p == nil || p.id != o.proc {
		return nil, syscall.ENOENT
	}
	return p, nil
}

// Attr implements vfs.Node.
func (o *object) Attr(ctx context.Context) (vfs.Attr, error) {
	p, err := o.live()
	if err != nil {
		return vfs.Attr{}, err
	}
	a := vfs.Attr{ID: o.id, Mode: dirMode | 0o555, Nlink: 9, Mtime: o.n.boot, Ctime: o.n.boot, Atime: o.n.boot}
	if p != nil {
		at := o.n.startOf(p)
		a.UID, a.GID, a.Mtime, a.Ctime, a.Atime = p.uid, p.uid, at, at, at
	}
	if o.rel != "" {
		a.Nlink = 1
		for _, e := range o.parentEntries() {
			if e.name == o.rel[strings.LastIndexByte(o.rel, '/')+1:] {
				a.Mode = e.mode
			}
		}
	}
	return a, ctx.Err()
}

// entries are the names in the directory o.
func (o *object) entries() []entry {
	parts := strings.Split(o.rel, "/")
	switch {
	case o.typ != vfs.TypeDir:
		return nil
	case o.pid == 0 && o.rel == "":
		return rootEntries
	case o.pid != 0 && o.rel == "":
		return processEntries
	case o.pid != 0 && o.rel == "task":
		return []entry{{strconv.Itoa(o.pid), dirMode | 0o555}}
	case o.pid != 0 && len(parts) == 2 && parts[0] == "task":
		return threadEntries
	case parts[len(parts)-1] == "fd":
		return []entry{{"0", linkMode | 0o500}, {"1", linkMode | 0o300}, {"2", linkMode | 0o300}}
	case o.rel == "sys":
		return []entry{{"kernel", dirMode | 0o555}}
	case o.rel == "sys/kernel":
		return []entry{{"hostname", fileMode | 0o644}, {"osrelease", fileMode | 0o444}, {"pid_max", fileMode | 0o644}}
	}
	return nil
}

func (o *object) parentEntries() []entry {
	up := *o
	up.typ, up.rel = vfs.TypeDir, o.rel[:max(0, strings.LastIndexByte(o.rel, '/'))]
	return up.entries()
}

// child is the object of that name in o.
func (o *object) child(e entry) *object {
	c := *o
	c.rel, c.typ = strings.TrimPrefix(o.rel+"/"+e.name, "/"), vfs.Type(e.mode&vfs.TypeMask)
	h := fnv.New64a()
	h.Write([]byte(c.rel))
	c.id = (o.n.id^o.proc*0x9e3779b97f4a7c15)*31 + h.Sum64() | 1
	return &c
}

// dir, file and link are an object as what it is.
type (
	dir  struct{ *object }
	file struct{ *object }
	link struct{ *object }
)

var (
	_ vfs.Dir  = dir{}
	_ vfs.File = file{}
	_ vfs.Link = link{}
)

// node is the object as what it is.
func (o *object) node() vfs.Node {
	switch o.typ {
	case vfs.TypeDir:
		return dir{o}
	case vfs.TypeLink:
		return link{o}
	}
	return file{o}
}

// Walk implements vfs.Dir.
func (o dir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	o.n.counts.others.Add(1)
	if _, err := o.live(); err != nil {
		return nil, err
	}
	if pid, err := strconv.Atoi(name); err == nil && strconv.Itoa(pid) == name && o.pid == 0 && o.rel == "" {
		p := o.n.process(pid)
		if p == nil {
			return nil, syscall.ENOENT
		}
		return dir{&object{n: o.n, who: o.who, id: p.id, typ: vfs.TypeDir, pid: pid, proc: p.id}}, nil
	}
	for _, e := range o.entries() {
		if e.name == name {
			return o.child(e).node(), ctx.Err()
		}
	}
	return nil, syscall.ENOENT
}

// List implements vfs.Dir.
func (o dir) List(ctx context.Context) (vfs.DirHandle, error) {
	o.n.counts.others.Add(1)
	return vfs.NewListing(func(context.Context) ([]vfs.DirEntry, error) {
		if _, err := o.live(); err != nil {
			return nil, err
		}
		var all []vfs.DirEntry
		if o.pid == 0 && o.rel == "" {
			for _, p := range o.n.processes() {
				all = append(all, vfs.DirEntry{Name: strconv.Itoa(p.pid), ID: p.id, Type: vfs.TypeDir, Next: uint64(p.pid) + 1})
			}
		}
		for i, e := range o.entries() {
			c := o.child(e)
			all = append(all, vfs.DirEntry{Name: e.name, ID: c.id, Type: c.typ, Next: 1<<32 + uint64(i)})
		}
		return all, nil
	}), ctx.Err()
}

// Open implements vfs.File.
func (o file) Open(ctx context.Context) (vfs.Handle, error) {
	p, err := o.live()
	if err != nil {
		return nil, err
	}
	var text []byte
	if p == nil {
		text, err = o.n.wide(o.rel)
	} else {
		rel := o.rel
		if parts := strings.SplitN(rel, "/", 3); parts[0] == "task" && len(parts) == 3 {
			rel = parts[2]
		}
		if mayRead := o.who.IsRoot() || o.who.UID == p.uid; !mayRead && (rel == "environ" || rel == "io") {
			return nil, syscall.EACCES
		}
		text, err = o.n.content(p, rel)
	}
	if err != nil {
		return nil, err
	}
	return vfs.NewBytes(text, 0), ctx.Err()
}

// Readlink implements vfs.Link.
func (o link) Readlink(context.Context) (string, error) {
	p, err := o.live()
	if err != nil {
		return "", err
	}
	if p == nil {
		return "", syscall.EINVAL
	}
	text, err := o.n.content(p, o.rel[strings.LastIndexByte(o.rel, '/')+1:])
	return string(text), err
}

// bootSeconds is how long the node has been up.
func (n *Node) bootSeconds() float64 { return time.Since(n.boot).Seconds() }
