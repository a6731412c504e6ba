package tree

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/actions"
	"github.com/aggrfs/aggrfs/pkg/aggregate/clusterdir"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/listing"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Config is what a tree is made of. All fields but Version are required.
type Config struct {
	Views    *view.Views
	Store    *cachepolicy.Store // what is cached besides the tables
	Numbers  *gpid.Numbering
	Users    access.Names
	Access   *access.Authority
	Timeouts upstream.Timeouts
	Actions  *actions.Controller
	Host     proctable.Host // the front end's machine
	Proc     string         // its native procfs as this process sees it
	Native   string         // the reader's native procfs as the reader sees it
	Version  string         // shown as that of the tree
	Log      *slog.Logger
	Now      func() time.Time
}

// A Tree is the merged tree of a cluster. It is a vfs.Tree.
type Tree struct {
	Config
	base       synthetic.Base
	native     *native
	listings   *listing.Listings
	tables     *clusterdir.Tables
	sumReaders sumReaders
	btime      atomic.Pointer[btime]
	// counters are of the root files that have them, by name; never changed.
	counters map[*proctable.Node]map[string]*procfile.Counters
}

// New makes the tree.
func New(cfg Config) *Tree {
	s := synthetic.Base{Since: cfg.Now(), Keep: cfg.Store.Policy().Table()}
	t := &Tree{
		Config: cfg, base: s, native: newNative(s, cfg.Proc, Native{Path: cfg.Native}, cfg.Now),
		tables: clusterdir.New(clusterdir.Config{
			Views: cfg.Views, Store: cfg.Store, Numbers: cfg.Numbers, Users: cfg.Users, Access: cfg.Access,
			Timeouts: cfg.Timeouts, Version: cfg.Version, Base: s, Now: cfg.Now,
		}),
		listings: listing.New(listing.Config{Proc: cfg.Proc, Time: func() time.Duration { return cfg.Store.Policy().Listing }}),
		counters: make(map[*proctable.Node]map[string]*procfile.Counters),
	}
	var layouts procfile.Layouts
	for _, n := range cfg.Views.Nodes {
		t.counters[n] = make(map[string]*procfile.Counters)
		for _, name := range procfile.SumNames() {
			if c := procfile.NewCounters(name, &layouts); c != nil {
				t.counters[n][name] = c
			}
		}
	}
	return t
}

// Tables are the tables in cluster/.
func (t *Tree) Tables() *clusterdir.Tables { return t.tables }

// Tidy drops what is remembered and can be shown to nobody any more.
func (t *Tree) Tidy() {
	t.sumReaders.tidy(t.Now())
	t.tables.Tidy()
	t.listings.Tidy()
}

// Swept takes note that a node has another table.
func (t *Tree) Swept(n *proctable.Node) { t.listings.Swept(n) }

// EndListings ends what was promised to who listed processes.
func (t *Tree) EndListings() { t.listings.Drop() }

// A viewTree is the tree as one view has it.
type viewTree struct {
	*view.View
	t      *Tree
	native *native       // the reader's
	depth  int           // how many directories its root is below that of the mount
	listed *listing.Root // whose readers are promised what they were listed; nil is that none is
	from   vfs.Origin    // from where the requester has attached
	// older is how much longer the machine is up by the tree's uptime than by its own.
	older time.Duration
}

// timensName comes before the path of a root, with a number of seconds: the
// tree for a reader in a time namespace whose CLOCK_BOOTTIME is that much ahead
// of the machine's (time_namespaces(7)), so that processes that are older than
// the machine's boot have their start times.
const timensName = "timens"

// uptimeName is the same for a reader who has no such namespace: the tree's own uptime is that
// much higher, as its btime is lower. A program that asks the kernel instead (clock_gettime(2),
// CLOCK_BOOTTIME) takes processes for that much younger.
const uptimeName = "uptime"

// maxTimens is how far ahead a clock may be: decades.
const maxTimens = 1 << 30 * time.Second

// cutTimens takes "/timens/SECONDS" or "/uptime/SECONDS" from the front of a path, if it is there, and
// returns the machine of the reader to whom that is told, who is on machine h, and how much longer
// that is up by the tree's own uptime.
func cutTimens(h proctable.Host, path string) (proctable.Host, time.Duration, string, error) {
	kind, seconds, rest, ok := view.CutRoot(path)
	if !ok || kind != timensName && kind != uptimeName {
		return h, 0, path, nil
	}
	n, err := strconv.ParseUint(seconds, 10, 31)
	if err != nil || time.Duration(n)*time.Second > maxTimens {
		return h, 0, "", fmt.Errorf("attach %q: %q is no number of seconds: %w", path, seconds, syscall.EINVAL)
	}
	older := time.Duration(n) * time.Second
	h.Boot = h.Boot.Add(-older)
	if kind == timensName {
		older = 0
	}
	return h, older, rest, nil
}

// readerName comes before the path of a root, with a machine as readerOf writes it: the tree for a
// reader on that machine, in which processes of the front end's own machine have other numbers than
// their pids.
const readerName = "reader"

// ReaderRoot is what comes before the path of a root for readers on machine h.
func ReaderRoot(h proctable.Host) string { return "/" + readerName + "/" + readerOf(h) }

// readerOf is a reader's machine as an element of a path: when it was booted, in ns since 1970, and
// its ticks a second and bytes a page.
func readerOf(h proctable.Host) string {
	return fmt.Sprintf("%d,%d,%d", h.Boot.UnixNano(), h.Hz, h.PageSize)
}

// parseReader reads what readerOf has written.
func parseReader(text string) (h proctable.Host, ok bool) {
	fields := strings.Split(text, ",")
	if len(fields) != 3 {
		return h, false
	}
	boot, err := strconv.ParseInt(fields[0], 10, 64)
	hz, hzErr := strconv.ParseInt(fields[1], 10, 16)
	page, pageErr := strconv.ParseInt(fields[2], 10, 32)
	ok = err == nil && hzErr == nil && pageErr == nil && boot > 0 && hz > 0 && page >= 1024
	return proctable.Host{Boot: time.Unix(0, boot), Hz: hz, PageSize: page, Elsewhere: true}, ok
}

// Attach implements vfs.Tree. aname is "" for the main tree or the path of a
// root inside it ("/sets/n[1-3]", "/users/ann"), which "/timens/SECONDS" or
// "/uptime/SECONDS" may precede, see timensName, or "/reader/MACHINE", see readerName; with "snapshot" before that of
// a reader on another machine, the snapshots of that root, if it has one node. upstream.NodeTree is the tree of one node, for a front end above.
func (t *Tree) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	return t.attach(ctx, who, aname, t.native, nil)
}

// NewMount is the tree for a mount whose readers have their native procfs there. Close ends it.
func (t *Tree) NewMount(native Native) *Mount {
	return &Mount{t, newNative(t.base, t.Proc, native, t.Now), t.listings.NewMount()}
}

func (t *Tree) attach(ctx context.Context, who vfs.Identity, aname string, native *native, mount *listing.Mount) (vfs.Node, error) {
	path, snapshots := strings.CutPrefix(aname, upstream.SnapshotTree)
	if path == "/" {
		path = ""
	}
	h, older, path, err := cutTimens(t.Host, path)
	if err != nil {
		return nil, err
	}
	if kind, machine, rest, ok := view.CutRoot(path); ok && kind == readerName {
		if h, ok = parseReader(machine); !ok {
			return nil, fmt.Errorf("attach %q: %q is no reader's machine: %w", aname, machine, syscall.EINVAL)
		}
		path = rest
	}
	whole := t.Views.Of(who, h)
	if name, ok := strings.CutPrefix(path, upstream.NodeTree("")); ok && h == t.Host {
		return viewTree{View: whole, t: t, native: native, from: vfs.OriginOf(ctx)}.attachNode(gpid.NodeName(name), snapshots)
	}
	if snapshots && !h.Elsewhere {
		return nil, fmt.Errorf("attach %q: %w", aname, syscall.ENOENT)
	}
	v, err := whole.At(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("attach %q: %w", aname, err)
	}
	if snapshots {
		return seenDir(viewTree{View: v, t: t, native: native})
	}
	return &root{viewTree{v, t, native, 0, mount.Root(who, v.Path), vfs.OriginOf(ctx), older}}, nil
}
