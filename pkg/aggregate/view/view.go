package view

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Config is what there is to see, and who decides.
type Config struct {
	Nodes   []*proctable.Node
	Numbers *gpid.Numbering
	Access  *access.Authority
	Users   access.Names
}

// Views are those of one cluster.
type Views struct {
	Config  // Nodes are by index
	byName  map[gpid.NodeName]*proctable.Node
	byIndex map[int]*proctable.Node
	shared  shared
}

// New makes the views of a cluster.
func New(cfg Config) *Views {
	all := &Views{Config: cfg, byName: map[gpid.NodeName]*proctable.Node{}, byIndex: map[int]*proctable.Node{}}
	slices.SortFunc(all.Nodes, func(a, b *proctable.Node) int { return cmp.Compare(a.Index, b.Index) })
	for _, n := range all.Nodes {
		all.byName[n.Name], all.byIndex[n.Index] = n, n
	}
	return all
}

// Of is the whole of what who may see, for a reader on that machine.
func (all *Views) Of(who vfs.Identity, h proctable.Host) *View {
	return all.shared.one(&View{all: all, Who: who, Host: h, ID: objectid.Child(objectid.Offset, ""), last: &atomic.Pointer[reach]{}})
}

// A View is what one identity may see of the cluster, or a part of it.
type View struct {
	Who  vfs.Identity
	Host proctable.Host // the reader's machine
	ID   uint64         // number of the root directory
	Path string         // from the top, each name in one spelling: "", "/sets/n[1-3]"

	all  *Views
	part map[*proctable.Node]bool // only these; nil is no limit
	user *uint32                  // only this user's processes; nil is no limit
	deep int                      // how many roots it is below the top
	last *atomic.Pointer[reach]   // what was in reach last
}

// A reach is what a view has at one moment. It never changes.
type reach struct {
	scope *access.Scope
	nodes []*proctable.Node        // by index
	in    map[*proctable.Node]bool // the same as a set; nil is all of the cluster's
}

// reach is what the view has now.
func (v *View) reach() *reach {
	r := v.last.Load()
	if r != nil && v.all.Access.Current(r.scope) {
		return r
	}
	r = &reach{scope: v.all.Access.Scope(v.Who)}
	if r.scope.AllNodes && v.part == nil {
		r.nodes = v.all.Nodes
	} else {
		r.in = map[*proctable.Node]bool{}
		for _, n := range v.all.Nodes {
			if (v.part == nil || v.part[n]) && r.scope.HasNode(string(n.Name)) {
				r.nodes, r.in[n] = append(r.nodes, n), true
			}
		}
	}
	v.last.Store(r)
	return r
}

// below is a part of the view, whose root is found at kind/name; name is the one
// spelling of it that counts. The caller sets the limit and gives it to
// shared.one.
func (v *View) below(kind, name string) *View {
	sub := *v
	sub.last = &atomic.Pointer[reach]{}
	sub.Path, sub.deep = v.Path+"/"+kind+"/"+name, v.deep+1
	sub.ID = objectid.Child(objectid.Child(v.ID, kind), name)
	return &sub
}

// Nodes are the nodes of the view, by index. The caller must not change them.
func (v *View) Nodes() []*proctable.Node { return v.reach().nodes }

// Identity implements Viewer.
func (v *View) Identity() vfs.Identity { return v.Who }

// Reaches implements Viewer.
func (v *View) Reaches(n *proctable.Node) bool {
	r := v.reach()
	return r.in == nil || r.in[n]
}

// Sees implements Viewer.
func (v *View) Sees(uid uint32) bool {
	return (v.user == nil || *v.user == uid) && v.reach().scope.Sees(uid)
}

// Limited implements Viewer.
func (v *View) Limited() bool { return v.user != nil || !v.reach().scope.AllProcesses() }

// SeesAll reports whether nothing is outside of the view.
func (v *View) SeesAll() bool {
	s := v.reach().scope
	return v.deep == 0 && s.AllNodes && s.AllProcesses() && !s.DeniesSome()
}

// Denies implements Viewer.
func (v *View) Denies(path ...string) bool {
	s := v.reach().scope
	return s.DeniesSome() && s.Denies(strings.Join(path, "/"))
}

// Admits implements Viewer.
func (v *View) Admits(n *proctable.Node, owner func() (uid uint32, ok bool), path []string) bool {
	r := v.reach()
	if r.in != nil && !r.in[n] {
		return false
	}
	if v.user != nil || !r.scope.AllProcesses() {
		uid, process := owner()
		switch {
		case process && (v.user != nil && *v.user != uid || !r.scope.Sees(uid)):
			return false
		case !process && len(path) > 0 && (Outside(path[0]) || CountsOthers(path)), process && OfNetwork(path):
			return false
		}
	}
	return !r.scope.DeniesSome() || !r.scope.Denies(strings.Join(path, "/"))
}

// Node is the node of that name if it is in the view.
func (v *View) Node(name gpid.NodeName) *proctable.Node {
	if n := v.all.byName[name]; n != nil && v.Reaches(n) {
		return n
	}
	return nil
}

// maxDeep is how deep roots nest: a set's user's set's user. Further down there is
// nothing new, and each level holds memory.
const maxDeep = 4

// Set is the view limited to the nodes of a nodeset, all of which must be in it.
func (v *View) Set(expr string) (*View, error) {
	if v.deep == maxDeep || len(v.Nodes()) == 0 {
		return nil, syscall.ENOENT
	}
	// Each name must be a node; names may come twice, or be taken away.
	set, err := nodeset.ParseAtMost(1000+4*len(v.Nodes()), expr)
	if err != nil {
		return nil, syscall.ENOENT
	}
	part := map[*proctable.Node]bool{}
	for name := range set.All() {
		n := v.Node(gpid.NodeName(name))
		if n == nil {
			return nil, syscall.ENOENT
		}
		part[n] = true
	}
	sub := v.below("sets", set.String())
	sub.part = part
	return v.all.shared.one(sub), nil
}

// ShownUser is the number of a user whom a client names, who must be one that the view can
// show. Whoever sees no node sees nobody's processes, and no name is looked up for them.
// EAGAIN is that too many names are being looked up.
func (v *View) ShownUser(ctx context.Context, name string) (uint32, error) {
	if len(v.Nodes()) == 0 {
		return 0, syscall.ENOENT
	}
	uid, err := v.all.Users.Requested(ctx, v.Who.UID, name)
	switch {
	case errors.Is(err, userdb.ErrBusy):
		return 0, syscall.EAGAIN
	case err != nil || !v.Sees(uid):
		return 0, syscall.ENOENT
	}
	return uid, nil
}

// OfUser is the view limited to the processes of one user, see ShownUser.
func (v *View) OfUser(ctx context.Context, name string) (*View, error) {
	if v.deep == maxDeep {
		return nil, syscall.ENOENT
	}
	uid, err := v.ShownUser(ctx, name)
	if err != nil {
		return nil, err
	}
	sub := v.below("users", UserKey(uid)) // a name may have anything in it
	sub.user = &uid
	return v.all.shared.one(sub), nil
}

// UserKey is the one spelling of a user in the paths and numbers of roots.
func UserKey(uid uint32) string { return strconv.FormatUint(uint64(uid), 10) }

// At is the view of the root at that path below this one.
func (v *View) At(ctx context.Context, path string) (*View, error) {
	for path != "" {
		kind, name, rest, ok := CutRoot(path)
		if !ok {
			return nil, syscall.ENOENT
		}
		var err error
		switch kind {
		case "sets":
			v, err = v.Set(name)
		case "users":
			v, err = v.OfUser(ctx, name)
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

// CutRoot takes "/kind/name" from the front of a path.
func CutRoot(path string) (kind, name, rest string, ok bool) {
	rest, slash := strings.CutPrefix(path, "/")
	kind, rest, more := strings.Cut(rest, "/")
	name, rest, deeper := strings.Cut(rest, "/")
	if deeper {
		rest = "/" + rest
	}
	return kind, name, rest, slash && more && name != "" && rest != "/"
}

// Locate finds the node and native pid of a gpid of the view.
func (v *View) Locate(g gpid.GPID) (*proctable.Node, gpid.PID, bool) {
	home := gpid.Home(g)
	if home != g && !v.Host.Elsewhere || g <= gpid.MaxPID && v.Host.Elsewhere {
		return nil, 0, false // it is a pid of the reader's machine, or of none
	}
	index, pid, ok := v.all.Numbers.Split(home)
	if !ok {
		return nil, 0, false
	}
	n := v.all.byIndex[index]
	if n == nil || !v.Reaches(n) {
		return nil, 0, false
	}
	return n, pid, true
}

// perNode is about what a node takes in a set of nodes, in bytes.
const perNode = 64

// Weight is what the sets of nodes take that a view has, where it has not all.
func (v *View) Weight() int64 { return perNode * int64(len(v.part)+len(v.reach().in)) }

// Scope is what the rules and allocations give the requester now.
func (v *View) Scope() *access.Scope { return v.reach().scope }

// User is the user to whose processes the view is limited; nil is no limit.
func (v *View) User() *uint32 { return v.user }
