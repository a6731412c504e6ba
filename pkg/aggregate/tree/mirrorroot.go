package tree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/listing"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// mirrorRoot is the root directory of a mirror.
type mirrorRoot struct {
	t      *mirrorTree
	id     uint64
	path   string
	older  time.Duration // see viewTree
	v      view.Viewer
	listed *listing.Root
	rest   *remote.Root // the root at the server, of which is read what is no process
}

func newMirrorRoot(t *mirrorTree, path string, older time.Duration) *mirrorRoot {
	m, id, v := t.m, objectid.Child(objectid.Offset, t.path+path), view.Everything{Who: t.m.cfg.Who}
	return &mirrorRoot{
		t: t, id: id, path: path, older: older, v: v, listed: m.mount.Root(m.cfg.Who, t.path+path),
		rest: remote.NewRoot(t.server, v, id, m.base.Attr(id, vfs.TypeDir), nil),
	}
}

// ID implements vfs.Node.
func (r *mirrorRoot) ID() uint64 { return r.id }

// Type implements vfs.Node.
func (r *mirrorRoot) Type() vfs.Type { return vfs.TypeDir }

// Attr implements vfs.Node.
func (r *mirrorRoot) Attr(context.Context) (vfs.Attr, error) {
	return r.t.m.base.Attr(r.id, vfs.TypeDir), nil
}

// Walk implements vfs.Dir.
func (r *mirrorRoot) Walk(ctx context.Context, name string) (vfs.Node, error) {
	native := r.t.m.native
	g, isPID := gpid.Parse(name)
	_, merged := rootNames[name]
	switch {
	case isPID && isCaller(ctx, g):
		return native.ownLink(r.id, name), nil
	case isPID && g <= gpid.MaxPID && native.callerPID(ctx) == gpid.PID(g):
		return native.link(objectid.Child(r.id, name), 0, name), nil
	case isPID && g == 1:
		return native.initProcess(ctx, r.id)
	case isPID || strings.Contains(name, ":"):
		return r.process(ctx, name)
	case name == "sys":
		return sysDir{native, gpid.Relayed(), 1, alone, r.cpus}.at(objectid.Child(r.id, name)), nil
	case merged:
		return r.read(ctx, name)
	case name == "uptime" && r.older > 0:
		return newUptime(r.t.m.base, r.t.m.cfg.Proc, r.older, objectid.Child(r.id, name)), nil
	}
	return alone(native.entry(r.id, 0, name))
}

// cpus are those of the server's tree.
func (r *mirrorRoot) cpus(ctx context.Context, _ uint64) (vfs.Node, error) {
	sys, err := r.read(ctx, "sys")
	if err != nil {
		return nil, err
	}
	n, _, err := vfs.WalkPath(ctx, sys.(vfs.Dir), "devices")
	return n, err
}

// alone is a link for which nothing stands in.
func alone(l *synthetic.Link, err error) (vfs.Node, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

// read walks to what is no process, at the server.
func (r *mirrorRoot) read(ctx context.Context, name string) (vfs.Node, error) {
	if r.path == "" {
		return r.rest.Walk(ctx, name)
	}
	n, _, err := vfs.WalkPath(ctx, r.rest, append(strings.Split(strings.TrimPrefix(r.path, "/"), "/"), name)...)
	return n, err
}

// process is the directory of a process, by its gpid or NODE:PID.
func (r *mirrorRoot) process(ctx context.Context, name string) (vfs.Node, error) {
	n, g, err := r.t.where(ctx, name)
	if err != nil {
		return nil, err
	}
	if r.path != "" && !slices.Contains(r.t.m.cfg.Nodes, string(n.Name)) {
		return nil, syscall.ENOENT
	}
	return processDir(ctx, r.v, r.listed, r.t.host, r.id, n, gpid.PID(g))
}

// List implements vfs.Dir. It sweeps the nodes of the view.
func (r *mirrorRoot) List(context.Context) (vfs.DirHandle, error) {
	l := &rootList{}
	l.Listing = vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		return r.entries(ctx, l.anew.Swap(false))
	})
	return l, nil
}

// entries are the root's now, see root.entries.
func (r *mirrorRoot) entries(ctx context.Context, anew bool) ([]vfs.DirEntry, error) {
	nodes, err := r.t.current(ctx, r.path)
	if err != nil {
		return nil, err
	}
	var listed *listing.Listing
	if anew {
		listed = r.listed.Begin()
	}
	rosters := proctable.Each(ctx, nodes, func(ctx context.Context, n *proctable.Node) proctable.Roster {
		return n.Roster(ctx, r.v.Identity())
	})
	var all []vfs.DirEntry
	for i, roster := range rosters {
		n := nodes[i]
		if roster.Table == nil {
			// What the server does not have it has said, in cluster/nodes; and it may have just
			// stopped to show the node.
			if upstream.NoAnswer(roster.Err) && !errors.Is(n.Health().Err, syscall.ENOENT) {
				return nil, fmt.Errorf("the server does not answer: %w", roster.Err)
			}
			continue
		}
		for row := range roster.Rows {
			g := n.GPID(row.PID())
			if g == 0 {
				continue
			}
			listed.Add(n, row)
			all = append(all, vfs.DirEntry{Name: g.String(), ID: objectid.Process(r.id, n.Index, row.ID()), Type: vfs.TypeDir, Next: uint64(g) + 1})
		}
	}
	if anew {
		r.listed.Keep(ctx, listed)
	}
	// A server that tells of one number on two nodes is shown with one of them.
	all = slices.CompactFunc(synthetic.Sort(all), func(a, b vfs.DirEntry) bool { return a.Next == b.Next })
	if len(all) == 0 {
		all = r.t.m.native.ownEntry(ctx, r.id)
	}
	return append(all, r.t.m.native.otherNames(r.id, r.v.Denies)...), nil
}
