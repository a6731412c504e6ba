package remote

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The threads of a process, where the policy lets their list be cached: it comes with the
// attributes of their directories, so that none has to be asked for (proctable, threads.go).

// errNoList is that the list of threads is not to be had with their attributes.
var errNoList = errors.New("no list of threads")

// readThreads is the list of the threads of r's process, as it is cached or comes now; not ok is
// that it is to be read as a directory.
func readThreads(ctx context.Context, r *object) (list proctable.Threads, ok bool, err error) {
	key, ok := threadsKey(r)
	if !ok {
		return nil, false, nil
	}
	if err := r.exists(ctx, r.path[:2]); err != nil {
		return nil, false, err
	}
	v, err := r.n.Store.Read(ctx, key, func(ctx context.Context) ([]byte, error) {
		list, ok := r.n.ThreadList(ctx, r.v.Identity(), r.proc.PID, r.proc.Leaf)
		if !ok {
			return nil, errNoList
		}
		return list, nil
	})
	return v.Content, err == nil, nil
}

// threadsKey is the key of that list, if it may be cached.
func threadsKey(r *object) (key cachepolicy.Key, ok bool) {
	task := object{n: r.n, v: r.v, proc: r.proc, path: r.path[:2]}
	key, ok = task.cacheKey(r.n.Clock())
	if !ok || r.n.Store.Policy().Rule(string(r.n.Name), strings.Join(task.path, "/")).Cache <= 0 {
		return key, false
	}
	return key, true
}

// threadIn finds a thread in the list of all, which costs one exchange as the thread alone would;
// nil is that the node must be asked about it.
func threadIn(ctx context.Context, d *dir, name, native string) (vfs.Node, error) {
	tid, ok := gpid.ParsePID(native)
	if !ok {
		return nil, nil
	}
	d.n.Renew(tid) // many threads read one by one are as many processes
	t, keep, ok := cachedThread(&d.object, tid)
	if !ok {
		if _, ok, err := readThreads(ctx, &d.object); !ok || err != nil {
			return nil, err
		}
		if t, keep, ok = cachedThread(&d.object, tid); !ok {
			return nil, nil
		}
	}
	if err := d.exists(ctx, append(d.path[:2:2], native)); err != nil {
		return nil, err
	}
	r := d.below(name, native, threadAttr(t, keep))
	r.leaf = t.ID
	return &threadDir{dir{r}}, nil
}

// cachedThread is the directory of a thread of r's process, and how long that is good.
func cachedThread(r *object, tid gpid.PID) (t snapshot.ThreadDir, keep time.Duration, ok bool) {
	key, ok := threadsKey(r)
	if !ok {
		return t, 0, false
	}
	v, ok, err := r.n.Store.Lookup(key)
	if !ok || err != nil {
		return t, 0, false
	}
	t, ok = proctable.Threads(v.Content).Find(tid)
	return t, v.Keep, ok
}

func threadAttr(t snapshot.ThreadDir, keep time.Duration) vfs.Attr {
	at := time.Unix(0, t.Mtime)
	return vfs.Attr{
		Mode: uint32(vfs.TypeDir) | t.Mode&0o7777, UID: t.UID, GID: t.GID, Nlink: t.Nlink,
		Atime: at, Mtime: at, Ctime: at, Keep: keep, KeepName: keep,
	}
}

// A threadDir is the directory of a thread that was found in the list.
type threadDir struct{ dir }

// Attr implements vfs.Node: from the list while it is fresh.
func (d *threadDir) Attr(ctx context.Context) (vfs.Attr, error) {
	tid, _ := gpid.ParsePID(d.path[2])
	t, keep, ok := cachedThread(&d.object, tid)
	if !ok || t.ID != d.leaf {
		return d.dir.Attr(ctx)
	}
	if err := d.exists(ctx, d.path); err != nil {
		return vfs.Attr{}, err
	}
	a := threadAttr(t, keep)
	a.ID = d.id
	return a, nil
}

// noThreadName is the error of a name that no thread's directory of the node has, which need not
// be asked for: htop looks for task in each.
func noThreadName(d *dir, native string) error {
	if d.proc == nil || len(d.path) != 3 || d.path[1] != proctable.TaskDir {
		return nil
	}
	row, keep, _ := d.row()
	if names := d.n.ProcessNames(); row.OK() && names != nil && len(names.Thread) > 0 && names.Thread[native] == 0 {
		return vfs.Missing{Keep: keep}
	}
	return nil
}

// A threadFile is a file of a thread that all threads of the node have, read on demand. Its
// attributes need not be asked for where the thread is its process's owner's.
type threadFile struct{ file }

// Attr implements vfs.Node.
func (f *threadFile) Attr(ctx context.Context) (vfs.Attr, error) {
	if a := f.Preview(); a.Keep > 0 {
		return a, nil
	}
	return f.file.Attr(ctx)
}

// Preview implements vfs.Previewer.
func (f *threadFile) Preview() vfs.Attr {
	row, keep, _ := f.row()
	tid, _ := gpid.ParsePID(f.path[2])
	t, _, ok := cachedThread(&f.object, tid)
	if !row.OK() || !ok {
		return f.file.Preview()
	}
	if p := row.Attr(0); p.UID != t.UID || p.GID != t.GID {
		return f.file.Preview()
	}
	a := row.FileAttr(f.attr.Mode, keep)
	a.ID = f.id
	return a
}

// threadEntries are the list as the node would list it.
func threadEntries(list proctable.Threads) []vfs.DirEntry {
	all := make([]vfs.DirEntry, list.Len())
	for i := range all {
		tid := list.TID(i)
		all[i] = vfs.DirEntry{Name: strconv.Itoa(int(tid)), Type: vfs.TypeDir, Next: uint64(tid) + 1}
	}
	return all
}

// A taskDir is the directory of a process's threads, in a process directory that the fresh table
// has.
type taskDir struct{ dir }

// Attr implements vfs.Node.
func (d *taskDir) Attr(ctx context.Context) (vfs.Attr, error) {
	if a := d.Preview(); a.Keep > 0 {
		return a, nil
	}
	return d.dir.Attr(ctx)
}

// Preview implements vfs.Previewer. The directory is its process's owner's, and has a link for
// each thread (proc_task_getattr in fs/proc/base.c).
func (d *taskDir) Preview() vfs.Attr {
	row, keep, v := d.row()
	if !row.OK() {
		return d.dir.Preview()
	}
	a := row.Attr(keep)
	a.ID, a.Mode, a.KeepName = d.id, d.attr.Mode, keep
	stat, err := row.File(v, "stat")
	parsed, ok := procfile.ParseStat(nil, stat)
	if err != nil || !ok {
		return d.dir.Preview()
	}
	a.Nlink = uint32(2 + parsed.Threads)
	return a
}
