package aggregate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A view is what one identity may see of the cluster, or a part of it: which
// nodes, whose processes and which files. What is outside of it does not exist.
//
// What that is, is asked anew at each request (reach): a view that was attached
// before an allocation ended has lost its nodes since.
type view struct {
	c    *Cluster
	who  vfs.Identity
	host host           // the reader's machine
	part map[*node]bool // only these; nil is no limit
	user *uint32        // only this user's processes; nil is no limit
	id   uint64         // number of the root directory
	path string         // from the top, each name in one spelling: "", "/sets/n[1-3]"
	deep int            // how many roots it is below the top

	last *atomic.Pointer[reach] // what was seen last
}

// A reach is what a view has at one moment. It never changes.
type reach struct {
	scope *access.Scope
	nodes []*node        // by index
	in    map[*node]bool // the same as a set; nil is all of the cluster's
}

// reach is what the view has now.
func (v *view) reach() *reach {
	r := v.last.Load()
	if r != nil && v.c.access.Current(r.scope) {
		return r
	}
	r = &reach{scope: v.c.access.Scope(v.who)}
	if r.scope.AllNodes && v.part == nil {
		r.nodes = v.c.nodes
	} else {
		r.in = map[*node]bool{}
		for _, n := range v.c.nodes {
			if (v.part == nil || v.part[n]) && r.scope.HasNode(string(n.name)) {
				r.nodes, r.in[n] = append(r.nodes, n), true
			}
		}
	}
	v.last.Store(r)
	return r
}

// view is the whole of what who may see, for a reader on that machine.
func (c *Cluster) view(who vfs.Identity, h host) *view {
	return c.views.one(&view{c: c, who: who, host: h, id: childID(fnvOffset, ""), last: &atomic.Pointer[reach]{}})
}

// below is a part of the view, whose root is found at kind/name; name is the one
// spelling of it that counts. The caller sets the limit and gives it to
// sharedViews.one.
func (v *view) below(kind, name string) *view {
	sub := *v
	sub.last = &atomic.Pointer[reach]{}
	sub.path, sub.deep = v.path+"/"+kind+"/"+name, v.deep+1
	sub.id = childID(childID(v.id, kind), name)
	return &sub
}

// nodes are the nodes of the view, by index. The caller must not change them.
func (v *view) nodes() []*node { return v.reach().nodes }

// identity implements viewer.
func (v *view) identity() vfs.Identity { return v.who }

// reaches implements viewer.
func (v *view) reaches(n *node) bool {
	r := v.reach()
	return r.in == nil || r.in[n]
}

// sees implements viewer.
func (v *view) sees(uid uint32) bool {
	return (v.user == nil || *v.user == uid) && v.reach().scope.Sees(uid)
}

// limited implements viewer.
func (v *view) limited() bool { return v.user != nil || !v.reach().scope.AllProcesses() }

// seesAll tells whether nothing is outside of the view.
func (v *view) seesAll() bool {
	s := v.reach().scope
	return v.deep == 0 && s.AllNodes && s.AllProcesses() && !s.DeniesSome()
}

// denies implements viewer.
func (v *view) denies(path ...string) bool {
	s := v.reach().scope
	return s.DeniesSome() && s.Denies(strings.Join(path, "/"))
}

// admits implements viewer.
func (v *view) admits(n *node, owner func() (uid uint32, ok bool), path []string) bool {
	r := v.reach()
	if r.in != nil && !r.in[n] {
		return false
	}
	if v.user != nil || !r.scope.AllProcesses() {
		uid, process := owner()
		switch {
		case process && (v.user != nil && *v.user != uid || !r.scope.Sees(uid)):
			return false
		case !process && len(path) > 0 && (outside(path[0]) || countsOthers(path)), process && ofNetwork(path):
			return false
		}
	}
	return !r.scope.DeniesSome() || !r.scope.Denies(strings.Join(path, "/"))
}

// node is the node of that name if it is in the view.
func (v *view) node(name gpid.NodeName) *node {
	if n := v.c.byName[name]; n != nil && v.reaches(n) {
		return n
	}
	return nil
}

// maxDeep is how deep roots nest: a set's user's set's user. Further down there is
// nothing new, and each level holds memory.
const maxDeep = 4

// set is the view limited to the nodes of a nodeset, all of which must be in it.
func (v *view) set(expr string) (*view, error) {
	if v.deep == maxDeep || len(v.nodes()) == 0 {
		return nil, syscall.ENOENT
	}
	// Each name must be a node; names may come twice, or be taken away.
	set, err := nodeset.ParseAtMost(1000+4*len(v.nodes()), expr)
	if err != nil {
		return nil, syscall.ENOENT
	}
	part := map[*node]bool{}
	for name := range set.All() {
		n := v.node(gpid.NodeName(name))
		if n == nil {
			return nil, syscall.ENOENT
		}
		part[n] = true
	}
	sub := v.below("sets", set.String())
	sub.part = part
	return v.c.views.one(sub), nil
}

// shownUser is the number of a user whom a client names, who must be one that the view can
// show. Whoever sees no node sees nobody's processes, and no name is looked up for them.
// EAGAIN is that too many names are being looked up.
func (v *view) shownUser(ctx context.Context, name string) (uint32, error) {
	if len(v.nodes()) == 0 {
		return 0, syscall.ENOENT
	}
	uid, err := v.c.users.Requested(ctx, v.who.UID, name)
	switch {
	case errors.Is(err, userdb.ErrBusy):
		return 0, syscall.EAGAIN
	case err != nil || !v.sees(uid):
		return 0, syscall.ENOENT
	}
	return uid, nil
}

// ofUser is the view limited to the processes of one user, see shownUser.
func (v *view) ofUser(ctx context.Context, name string) (*view, error) {
	if v.deep == maxDeep {
		return nil, syscall.ENOENT
	}
	uid, err := v.shownUser(ctx, name)
	if err != nil {
		return nil, err
	}
	sub := v.below("users", userKey(uid)) // a name may have anything in it
	sub.user = &uid
	return v.c.views.one(sub), nil
}

// userKey is the one spelling of a user in the paths and numbers of roots.
func userKey(uid uint32) string { return strconv.FormatUint(uint64(uid), 10) }

// at is the view of the root at that path below this one.
func (v *view) at(ctx context.Context, path string) (*view, error) {
	for path != "" {
		kind, name, rest, ok := cutRoot(path)
		if !ok {
			return nil, syscall.ENOENT
		}
		var err error
		switch kind {
		case "sets":
			v, err = v.set(name)
		case "users":
			v, err = v.ofUser(ctx, name)
		default:
			err = syscall.ENOENT
		}
		if err != nil {
			return nil, err
		}
		path = rest
	}
	return v, nil
}

// cutRoot takes "/kind/name" from the front of a path.
func cutRoot(path string) (kind, name, rest string, ok bool) {
	rest, slash := strings.CutPrefix(path, "/")
	kind, rest, more := strings.Cut(rest, "/")
	name, rest, deeper := strings.Cut(rest, "/")
	if deeper {
		rest = "/" + rest
	}
	return kind, name, rest, slash && more && name != "" && rest != "/"
}

// timensName comes before the path of a root, with a number of seconds: the
// tree for a reader in a time namespace whose CLOCK_BOOTTIME is that much ahead
// of the machine's (time_namespaces(7)), so that processes that are older than
// the machine's boot have their start times.
const timensName = "timens"

// maxTimens is how far ahead a clock may be: decades.
const maxTimens = 1 << 30 * time.Second

func (c *Cluster) attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	path, snapshots := strings.CutPrefix(aname, snapshotName)
	if path == "/" {
		path = ""
	}
	h := c.host
	if kind, seconds, rest, ok := cutRoot(path); ok && kind == timensName {
		n, err := strconv.ParseUint(seconds, 10, 31)
		if err != nil || time.Duration(n)*time.Second > maxTimens {
			return nil, fmt.Errorf("attach %q: %q is no number of seconds: %w", aname, seconds, syscall.EINVAL)
		}
		h.boot, path = h.boot.Add(-time.Duration(n)*time.Second), rest
	}
	if name, ok := strings.CutPrefix(path, NodeTree("")); ok && h == c.host {
		return c.view(who, h).attachNode(gpid.NodeName(name), snapshots)
	}
	v, err := c.view(who, h).at(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("attach %q: %w", aname, err)
	}
	if snapshots {
		return newSnapshotDir(v), nil
	}
	return &root{v}, nil
}

// gpid is the gpid of a process of the cluster.
func (n *node) gpid(pid gpid.PID) gpid.GPID { return n.numbers.GPID(n.index, pid) }

// locate finds the node and native pid of a gpid of the view.
func (v *view) locate(g gpid.GPID) (*node, gpid.PID, bool) {
	index, pid, ok := v.c.numbers.Split(g)
	if !ok {
		return nil, 0, false
	}
	n := v.c.byIndex[index]
	if n == nil || !v.reaches(n) {
		return nil, 0, false
	}
	return n, pid, true
}

func sortByIndex(nodes []*node) {
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(a.index, b.index) })
}
