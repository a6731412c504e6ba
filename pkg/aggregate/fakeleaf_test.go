package aggregate

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A fakeLeaf is a node that says what a test has it say, and can be rebooted, stopped
// and cut off. Its tree and its snapshots agree.
type fakeLeaf struct {
	mu       sync.Mutex
	facts    snapshot.Facts
	procs    []fakeProc        // by pid
	lives    map[string]int    // of pids that were used again, how often
	files    map[string]string // of its /proc, by path from the root, besides the processes'
	refuses  map[string]error  // by path, what comes instead of the file to others than root
	last     *snapshot.Table   // that it answered
	names    snapshot.Names    // those that its processes have, if it tells
	older    bool              // it reads nothing ahead for requesters
	figures  []snapshot.Group  // that it tells of itself, where its facts have a clock
	history  snapshot.FigureHistory
	answer   func(snapshot.Request) ([]byte, error)
	stopped  chan struct{} // closed when it goes on; nil while it answers
	down     bool
	stalls   bool // answers to snapshots do not come to their end
	conns    []chan struct{}
	exchange []string // what was asked of it
}

// A fakeProc is one of its processes.
type fakeProc struct {
	pid   int
	uid   uint32
	files map[string]string // by path from the process directory
}

func newFakeLeaf() *fakeLeaf {
	return &fakeLeaf{
		facts: snapshot.Facts{BootID: "boot-1", BootTime: time.Now().Add(-1000 * time.Hour), Hz: 100, PageSize: 4096, PIDMax: 32768, Version: "fake", PIDGID: vfs.NoID},
		files: map[string]string{}, refuses: map[string]error{},
	}
}

// statText is a stat file, see proc_pid_stat(5).
func statText(pid, ppid, pgrp, session int, state byte, start int) string {
	return fmt.Sprintf("%d (p%d) %c %d %d %d 0 %d 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", pid, pid, state, ppid, pgrp, session, pgrp, start)
}

// add adds a process with that parent, in a process group and session.
func (l *fakeLeaf) add(pid int, uid uint32, ppid, pgrp, session int) *fakeProc {
	text := fmt.Sprintf("Name:\tp%d\nTgid:\t%[1]d\nNgid:\t%[2]d\nPid:\t%[1]d\nPPid:\t%[2]d\nTracerPid:\t%[2]d\nUid:\t%[5]d\t%[5]d\t%[5]d\t%[5]d\nNStgid:\t%[1]d\nNSpid:\t%[1]d\nNSpgid:\t%[3]d\t7\nNSsid:\t%[4]d\t8\n", pid, ppid, pgrp, session, uid)
	p := fakeProc{pid: pid, uid: uid, files: map[string]string{
		"stat": statText(pid, ppid, pgrp, session, 'S', 4000+pid), "status": text, "cmdline": fmt.Sprintf("p%d\x00", pid), "statm": "1 1 1 1 0 1 0\n",
	}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.procs = append(l.procs, p)
	slices.SortFunc(l.procs, func(a, b fakeProc) int { return a.pid - b.pid })
	return &p
}

// end ends a process. What has its pid next is another one.
func (l *fakeLeaf) end(pid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.procs = slices.DeleteFunc(l.procs, func(p fakeProc) bool { return p.pid == pid })
	if l.lives == nil {
		l.lives = map[string]int{}
	}
	l.lives[strconv.Itoa(pid)]++
}

// change changes what the leaf says from now on.
func (l *fakeLeaf) change(f func()) { l.mu.Lock(); defer l.mu.Unlock(); f() }

// reboot is the node after a reboot: other processes are the test's to add.
func (l *fakeLeaf) reboot(bootID string) {
	l.cut()
	l.change(func() { l.facts.BootID, l.facts.BootTime = bootID, time.Now() })
}

// cut ends all connections.
func (l *fakeLeaf) cut() {
	l.change(func() {
		for _, c := range l.conns {
			close(c)
		}
		l.conns = nil
	})
}

// connected reports whether there is a connection that was not cut.
func (l *fakeLeaf) connected() (yes bool) {
	l.change(func() { yes = len(l.conns) > 0 })
	return yes
}

func (l *fakeLeaf) stop()   { l.change(func() { l.stopped = make(chan struct{}) }) }
func (l *fakeLeaf) resume() { l.change(func() { close(l.stopped); l.stopped = nil }) }

// requests are the exchanges since the last call.
func (l *fakeLeaf) requests() (all []string) {
	l.change(func() { all, l.exchange = l.exchange, nil })
	return all
}

// begin is what every exchange begins with.
func (l *fakeLeaf) begin(ctx context.Context, what string) error {
	l.mu.Lock()
	l.exchange = append(l.exchange, what)
	stopped := l.stopped
	l.mu.Unlock()
	if stopped != nil {
		select {
		case <-stopped:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// dial is a [Dialer].
func (l *fakeLeaf) dial(context.Context) (Upstream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, syscall.ECONNREFUSED
	}
	u := &fakeUpstream{l: l, done: make(chan struct{})}
	l.conns = append(l.conns, u.done)
	return u, nil
}

type fakeUpstream struct {
	l    *fakeLeaf
	done chan struct{}
}

func (u *fakeUpstream) Done() <-chan struct{} { return u.done }
func (u *fakeUpstream) Err() error            { return errors.New("cut off") }
func (u *fakeUpstream) Close() error          { return nil }

func (u *fakeUpstream) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	if aname == upstream.SnapshotTree {
		dir := snapshot.NewDir(vfs.Attr{ID: 2, Mode: uint32(vfs.TypeDir) | 0o500}, slog.New(slog.DiscardHandler), u.snapshot)
		return fakeSnapshots{dir, u, "snapshot"}, nil
	}
	if aname == upstream.ReadAheadTree {
		if err := u.l.begin(ctx, "attach"); err != nil {
			return nil, err
		}
		if u.l.older {
			return nil, syscall.ENOENT
		}
		dir := snapshot.NewDir(vfs.Attr{ID: 3, Mode: uint32(vfs.TypeDir) | 0o500}, slog.New(slog.DiscardHandler), func(_ context.Context, req snapshot.Request) ([]byte, error) {
			return u.readAhead(who, req)
		})
		return fakeSnapshots{dir, u, "readahead"}, nil
	}
	return fakeDir{fakeNode{u: u, who: who}}, nil
}

type fakeSnapshots struct {
	vfs.Dir
	u    *fakeUpstream
	what string
}

func (d fakeSnapshots) Walk(ctx context.Context, name string) (vfs.Node, error) {
	n, err := d.Dir.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	n = tellRequests(n, name, func(ctx context.Context, _ []byte) error { return d.u.l.begin(ctx, d.what) })
	if f, ok := n.(vfs.File); ok && d.u.l.stalls {
		return stallFile{f}, nil
	}
	return n, nil
}

// A stallFile is an rpc file of which the start of an answer comes, and no more.
type stallFile struct{ vfs.File }

func (f stallFile) Open(ctx context.Context) (vfs.Handle, error) {
	h, err := f.File.Open(ctx)
	if err != nil {
		return nil, err
	}
	return stallRPC{h.(snapshot.RPC)}, nil
}

type stallRPC struct{ snapshot.RPC }

func (h stallRPC) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off > 0 {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return h.RPC.ReadAt(ctx, p, off)
}

// snapshot is a [snapshot.Source].
func (u *fakeUpstream) snapshot(_ context.Context, req snapshot.Request) ([]byte, error) {
	l := u.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answer != nil {
		return l.answer(req)
	}
	var figures *snapshot.Figures
	if req.Figures {
		if l.facts.Monotonic == 0 {
			return nil, syscall.EINVAL // as an older leaf says
		}
		figures = l.history.Add(snapshot.NewFigures(l.figures), time.Now())
		if len(req.Files) == 0 {
			return snapshot.AnswerFigures(figures, l.history.Find(req.Known)), nil
		}
	}
	var b snapshot.Builder
	b.Reset(l.last, l.facts, req.Files)
	b.Name(l.names)
	for _, p := range l.procs {
		b.Begin(snapshot.Proc{PID: int32(p.pid), ID: l.id(strconv.Itoa(p.pid)), UID: p.uid, GID: p.uid, Mode: uint32(vfs.TypeDir) | 0o555, Nlink: 9, FileUID: p.uid, FileGID: p.uid, OwnerReads: true})
		for _, name := range req.Files {
			if text, ok := p.files[name]; ok {
				b.Add([]byte(text))
			} else {
				b.Fail(syscall.ENOENT)
			}
		}
	}
	t, err := b.Table()
	if err != nil {
		return nil, err
	}
	l.last = t
	return t.AnswerWith(req, 0, figures, l.history.Find(req.Known)), nil
}

// readAhead answers with what who is given, each file by itself.
func (u *fakeUpstream) readAhead(who vfs.Identity, req snapshot.Request) ([]byte, error) {
	l := u.l
	var b snapshot.Builder
	var procs []fakeProc
	var ids []uint64
	l.change(func() {
		b.Reset(nil, l.facts, req.Files)
		for _, p := range l.procs {
			if l.facts.HidePID < procfile.HideProcess || who.IsRoot() || who.UID == p.uid {
				procs, ids = append(procs, p), append(ids, l.id(strconv.Itoa(p.pid)))
			}
		}
	})
	for i, p := range procs {
		dir := strconv.Itoa(p.pid)
		b.Begin(snapshot.Proc{PID: int32(p.pid), ID: ids[i], UID: p.uid, GID: p.uid, Mode: uint32(vfs.TypeDir) | 0o555, Nlink: 9, FileUID: vfs.NoID, FileGID: vfs.NoID})
		for _, name := range req.Files {
			if text, err := l.given(dir+"/"+name, who); err != nil {
				b.Fail(vfs.Errno(err))
			} else {
				b.Add([]byte(text))
			}
		}
	}
	t, err := b.Table()
	if err != nil {
		return nil, err
	}
	return t.Answer(req, 0), nil
}

// id is the number of what is at a path, of this boot.
func (l *fakeLeaf) id(path string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(l.facts.BootID + "/" + path))
	if pid, _, _ := strings.Cut(path, "/"); l.lives[pid] > 0 {
		fmt.Fprint(h, "/", l.lives[pid])
	}
	return h.Sum64() | 1
}

// find is what is at a path for who: a file's text, or the names in a directory. With
// hidepid others' processes do not exist.
func (l *fakeLeaf) find(path string, who vfs.Identity) (text string, names []string, a vfs.Attr, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a = vfs.Attr{ID: l.id(path), Nlink: 1}
	refused := l.refuses[path]
	if _, name, _ := strings.Cut(path, "/"); refused != nil && !who.IsRoot() && !procfile.Process.File(name).Link {
		return "", nil, a, refused
	}
	all := map[string]string{}
	for name, text := range l.files {
		all[name] = text
	}
	first, _, _ := strings.Cut(path, "/")
	for _, p := range l.procs {
		dir := strconv.Itoa(p.pid)
		if l.facts.HidePID >= procfile.HideProcess && !who.IsRoot() && who.UID != p.uid {
			continue
		}
		if path == "" {
			names = append(names, dir)
		}
		if dir == first {
			a.UID, a.GID = p.uid, p.uid
			for name, text := range p.files {
				all[dir+"/"+name] = text
			}
		}
	}
	if text, ok := all[path]; ok {
		a.Mode = uint32(vfs.TypeFile) | 0o444
		if _, name, _ := strings.Cut(path, "/"); procfile.Process.File(name).Link {
			a.Mode = uint32(vfs.TypeLink) | 0o777
		}
		return text, nil, a, nil
	}
	for name := range all {
		rest, below := strings.CutPrefix("/"+name, strings.TrimSuffix("/"+path, "/")+"/")
		entry, _, _ := strings.Cut(rest, "/")
		if below && !slices.Contains(names, entry) {
			names = append(names, entry)
		}
	}
	a.Mode = uint32(vfs.TypeDir) | 0o555
	if len(names) == 0 && path != "" {
		return "", nil, a, syscall.ENOENT
	}
	slices.Sort(names)
	return "", names, a, nil
}

type fakeNode struct {
	u    *fakeUpstream
	who  vfs.Identity
	path string
	attr vfs.Attr
}

type (
	fakeDir  struct{ fakeNode }
	fakeFile struct{ fakeNode }
	fakeLink struct{ fakeNode }
)

func (n fakeNode) ID() uint64 { return max(1, n.attr.ID) }

func (n fakeNode) Type() vfs.Type {
	if n.path == "" {
		return vfs.TypeDir
	}
	return n.attr.Type()
}

// Preview implements vfs.Previewer, as with a 9P client.
func (n fakeNode) Preview() vfs.Attr { return n.attr }

func (n fakeNode) Attr(ctx context.Context) (vfs.Attr, error) {
	if err := n.u.l.begin(ctx, "attr"); err != nil {
		return vfs.Attr{}, err
	}
	_, _, a, err := n.u.l.find(n.path, n.who)
	return a, err
}

func (d fakeDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	n, _, err := d.WalkPath(ctx, name)
	return n, err
}

// WalkPath implements vfs.PathWalker: it is one exchange.
func (d fakeDir) WalkPath(ctx context.Context, names ...string) (vfs.Node, []uint64, error) {
	if err := d.u.l.begin(ctx, "walk"); err != nil {
		return nil, nil, err
	}
	return d.walk(names)
}

func (d fakeDir) walk(names []string) (vfs.Node, []uint64, error) {
	path := strings.TrimPrefix(d.path+"/"+strings.Join(names, "/"), "/")
	var ids []uint64
	for i := range names {
		d.u.l.change(func() { ids = append(ids, d.u.l.id(strings.Join(names[:i+1], "/"))) })
	}
	_, _, a, err := d.u.l.find(path, d.who)
	if err != nil {
		return nil, nil, err
	}
	n := fakeNode{d.u, d.who, path, a}
	if a.Type() == vfs.TypeDir {
		return fakeDir{n}, ids, nil
	}
	if a.Type() == vfs.TypeLink {
		return fakeLink{n}, ids, nil
	}
	return fakeFile{n}, ids, nil
}

// OpenPath implements vfs.PathOpener: it is one exchange.
func (d fakeDir) OpenPath(ctx context.Context, names ...string) (vfs.Handle, []uint64, error) {
	if err := d.u.l.begin(ctx, "open "+strings.Join(names, "/")); err != nil {
		return nil, nil, err
	}
	n, ids, err := d.walk(names)
	if err != nil {
		return nil, nil, err
	}
	f, ok := n.(fakeFile)
	if !ok {
		return nil, nil, syscall.EISDIR
	}
	text, _, _, err := d.u.l.find(f.path, d.who)
	return vfs.NewBytes([]byte(text), 0), ids, err
}

func (d fakeDir) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		if err := d.u.l.begin(ctx, "list"); err != nil {
			return nil, err
		}
		_, names, _, err := d.u.l.find(d.path, d.who)
		var all []vfs.DirEntry
		for i, name := range names {
			if _, process := gpid.Parse(name); process && d.path == "" { // there may be thousands
				d.u.l.change(func() {
					all = append(all, vfs.DirEntry{Name: name, ID: d.u.l.id(name), Type: vfs.TypeDir, Next: uint64(i) + 1})
				})
				continue
			}
			n, _, err := d.walk([]string{name})
			if err != nil {
				return nil, err
			}
			all = append(all, vfs.DirEntry{Name: name, ID: n.ID(), Type: n.Type(), Next: uint64(i) + 1})
		}
		return all, err
	}), nil
}

func (f fakeFile) Open(ctx context.Context) (vfs.Handle, error) {
	if err := f.u.l.begin(ctx, "open "+f.path); err != nil {
		return nil, err
	}
	text, _, _, err := f.u.l.find(f.path, f.who)
	return vfs.NewBytes([]byte(text), 0), err
}

// Readlink implements vfs.Link.
func (k fakeLink) Readlink(ctx context.Context) (string, error) {
	if err := k.u.l.begin(ctx, "readlink "+k.path); err != nil {
		return "", err
	}
	return k.u.l.given(k.path, k.who)
}

// given is the content of a file, or the text of a link, as who gets it: a link that is refused
// can be walked to all the same.
func (l *fakeLeaf) given(path string, who vfs.Identity) (text string, err error) {
	l.change(func() {
		if !who.IsRoot() {
			err = l.refuses[path]
		}
	})
	if err == nil {
		text, _, _, err = l.find(path, who)
	}
	return text, err
}

// fakeCluster is a cluster of fake leaves, n1, n2 and so on, beside a head that is one,
// too.
func fakeCluster(t testing.TB, cfg Config, leaves ...*fakeLeaf) *Cluster {
	t.Helper()
	cfg.Head = NodeConfig{Name: "head", Dial: leaves[0].dial}
	for i, l := range leaves[1:] {
		cfg.Nodes = append(cfg.Nodes, NodeConfig{Name: gpid.NodeName(fmt.Sprintf("n%d", i+1)), Dial: l.dial})
	}
	if cfg.Policy == nil {
		cfg.Policy = cachepolicy.Default()
	}
	return startCluster(t, cfg)
}
