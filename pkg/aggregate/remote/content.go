package remote

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// MaxContent is the largest file that is rewritten, in bytes. The largest of a
// kernel's, children of a process with as many children as there can be pids,
// is 32 MiB.
const MaxContent = 32 << 20

// MaxRootFile bounds a root file of a node, in bytes: the cpuinfo of 2,048 processors is
// 3 MiB.
const MaxRootFile = 16 << 20

// CacheKey is the key in the store of a file of a node as it is read for a viewer, on that boot
// of the node; proc is the process that the path leads through, nil for none. It is not ok if
// the policy never caches the file, or if it is not known yet (nil) which boot that is.
func CacheKey(n *proctable.Node, v view.Viewer, k *proctable.Clock, proc *view.Process, path ...string) (key cachepolicy.Key, ok bool) {
	r := object{n: n, v: v, proc: proc, path: path}
	return r.cacheKey(k)
}

// cacheKey is CacheKey for r.
func (r *object) cacheKey(k *proctable.Clock) (key cachepolicy.Key, ok bool) {
	if r.n.Store == nil || k == nil || len(r.path) == 0 || r.proc != nil && r.n.Live() {
		return key, false
	}
	path := strings.Join(r.path, "/")
	rule := r.n.Store.Policy().Rule(string(r.n.Name), path)
	if rule.Cache == cachepolicy.Never && rule.Negative == 0 {
		return key, false
	}
	key = cachepolicy.Key{Process: r.n.CacheKey(k, 0, 0), Path: path, Reader: r.v.Identity().Key()}
	if r.proc != nil {
		key.Process = r.n.CacheKey(k, r.proc.PID, r.proc.Leaf)
		key.Path = path[len(r.path[0])+1:]
	}
	return key, true
}

// readCached is what is cached under that key, or what one brings. A file of a process that
// is not cached may come with that of all other processes, or threads, by read-ahead.
func (r *object) readCached(ctx context.Context, key cachepolicy.Key, one cachepolicy.Fetch) (cachepolicy.Value, error) {
	return r.n.Store.Read(ctx, key, func(ctx context.Context) ([]byte, error) {
		if content, err, ok := r.readAhead(ctx); ok {
			return content, err
		}
		if r.proc != nil && len(r.path) == 4 && r.path[1] == proctable.TaskDir {
			if tid, ok := gpid.ParsePID(r.path[2]); ok {
				if content, err, ok := r.n.ThreadFile(ctx, r.v.Identity(), r.proc.PID, r.proc.Leaf, tid, r.path[3]); ok {
					return content, err
				}
			}
		}
		return one(ctx)
	})
}

// readAhead is the file as it has come with that of all other processes of the node.
func (r *object) readAhead(ctx context.Context) (content []byte, err error, ok bool) {
	if r.proc == nil || len(r.path) != 2 && (len(r.path) != 3 || r.path[1] != "ns") {
		return nil, nil, false
	}
	return r.n.ReadAhead(ctx, r.v.Identity(), r.proc.PID, r.proc.Leaf, strings.Join(r.path[1:], "/"))
}

// openCached opens a file of that key: as it is cached, or as the node gives it now.
func (f *file) openCached(ctx context.Context, key cachepolicy.Key) (vfs.Handle, error) {
	v, err := f.readCached(ctx, key, func(ctx context.Context) (raw []byte, err error) {
		err = f.exchange(ctx, func(ctx context.Context, h vfs.Handle) error {
			defer h.Close()
			raw, err = vfs.ReadAll(ctx, h, MaxContent)
			return err
		})
		return raw, err
	})
	switch {
	case errors.Is(err, syscall.EFBIG):
		return f.openNow(ctx) // read in pieces, cached nowhere
	case err != nil:
		return nil, err
	}
	if v.Stale {
		f.n.Stale(f.n.Now())
	}
	content := v.Content
	if f.proc != nil {
		content, err = f.rewriteRead(ctx, f.n.Now().Add(-v.Age), f.path[1:], content)
	} else if len(f.path) == 1 {
		content, err = Limit(ctx, f.n, f.v, f.path[0], content)
	}
	if err != nil {
		return nil, err
	}
	return vfs.NewBytes(content, v.Keep), nil
}

// rewritten returns the open file with its content as the viewer gets it, where that is
// another one than the node's. It closes h unless it returns it.
func (r *object) rewritten(ctx context.Context, h vfs.Handle) (vfs.Handle, error) {
	switch {
	case r.proc == nil && len(r.path) == 1 && miscounts(r.n, r.v, r.path[0]):
		defer h.Close()
		text, err := vfs.ReadAll(ctx, h, MaxRootFile)
		if err == nil {
			text, err = Limit(ctx, r.n, r.v, r.path[0], text)
		}
		if err != nil {
			return nil, err
		}
		return vfs.NewBytes(text, 0), nil
	case r.proc == nil || !r.rewrites(r.path[1:]):
		if _, inMemory := h.(vfs.Held); inMemory {
			return h, nil
		}
		return &handle{r.n, r.n.Session(), h}, nil
	}
	defer h.Close()
	var raw []byte
	if held, ok := h.(vfs.Held); ok && len(held.Content()) <= MaxContent {
		raw = held.Content() // for as long as h is open
	} else {
		var err error
		if raw, err = vfs.ReadAll(ctx, h, MaxContent); err != nil {
			return nil, err
		}
		defer clear(raw)
	}
	out, err := r.rewriteRead(ctx, r.n.Now(), r.path[1:], raw)
	if err != nil {
		return nil, err
	}
	return vfs.NewOnce(out), nil
}

// Files of a process name others: its parent, the leader of its process group and of its
// session, who traces it, its children. To a viewer who is limited in processes those
// that do not exist for them are not named, as with pid_namespaces(7), on every road: out
// of a table, in cluster/ps, and as read on demand, in the
// merged tree as below nodes/. hidepid hides no names of this kind: the kernel shows them
// in what it shows.
//
// Whether a process exists for the viewer is known from a table. A number that no table
// has is not named: what had it may be hidden, and a process group or session whose leader
// has ended keeps its number.

// asItIs rewrites nothing.
var asItIs = procfile.Map{PID: func(native int64) int64 { return native }}

// rewrites reports whether the file at that path below r's process directory is not shown
// as the node gives it.
func (r *object) rewrites(path []string) bool {
	return r.proc != nil && procfile.Rewriter(path) != nil && (r.proc.Map != nil || r.v.Limited())
}

// A namer is a table by which it is known whom a viewer may know of.
type namer struct {
	r      *object
	t      lookup // nil is that it knows nobody
	missed bool   // something was asked for that lives and is not in t
}

// A lookup is a table, or what is left of one.
type lookup interface {
	Lookup(gpid.PID) (proctable.Row, bool)
}

// shows is procfile.Map.Shows.
func (w *namer) shows(native int64, lives bool) bool {
	if gpid.PID(native) == w.r.proc.PID {
		return true
	}
	if w.t != nil {
		if r, ok := w.t.Lookup(gpid.PID(native)); ok {
			return w.r.v.Sees(r.UID())
		}
	}
	w.missed = w.missed || lives
	return false
}

// rewrite rewrites the file at that path below the process directory.
func (w *namer) rewrite(path []string, raw []byte) ([]byte, error) {
	if !w.r.rewrites(path) {
		return raw, nil
	}
	m := w.r.proc.Map
	if w.r.v.Limited() {
		limited := asItIs
		if m != nil {
			limited = *m
		}
		limited.Shows, m = w.shows, &limited
	}
	out, ok := procfile.Rewriter(path)(m, make([]byte, 0, len(raw)+64), raw)
	if !ok {
		return nil, syscall.EIO
	}
	return out, nil
}

// RowContent is a file of a row as r's viewer may have it, rewritten; ErrAsk is that the table
// does not say. r is the process directory or below it.
func (r *object) RowContent(row proctable.Row, v proctable.Visibility, name string) ([]byte, error) {
	return r.rowContent(row, row.Table, v, name)
}

// rowContent is RowContent of a row among those of t.
func (r *object) rowContent(row proctable.Row, t lookup, v proctable.Visibility, name string) ([]byte, error) {
	if r.v.Denies(r.path[0], name) {
		return nil, syscall.ENOENT
	}
	raw, err := row.File(v, name)
	if err != nil {
		return nil, err
	}
	return (&namer{r: r, t: t}).rewrite([]string{name}, raw)
}

// Rewrite is a file of the process, at that path below its directory, as the viewer may have it who
// is given it with those of a node's other processes: t has them.
func (d *ProcessDir) Rewrite(t lookup, path []string, raw []byte) ([]byte, error) {
	return (&namer{r: &d.object, t: t}).rewrite(path, raw)
}

// rewriteRead rewrites a file that was read on demand, after the node was asked at that
// moment. If it names what lives and is not in the table, which may be older, another is
// asked for: a process sees its children as soon as they are there.
func (r *object) rewriteRead(ctx context.Context, asked time.Time, path []string, raw []byte) ([]byte, error) {
	w := namer{r: r}
	var t *proctable.Table
	if r.v.Limited() && r.rewrites(path) {
		if t, _ = r.n.Fresh(ctx); t != nil { // without one nobody is named
			w.t = t
		}
	}
	out, err := w.rewrite(path, raw)
	if !w.missed || t != nil && !t.Moment().Before(asked) {
		return out, err
	}
	if t, _ = r.n.Newer(ctx, asked); t == nil {
		return out, err
	}
	w.t = t
	return w.rewrite(path, raw)
}
