package aggregate

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newSnapshotDir makes the tree that a cluster serves under the attach name
// "snapshot": its merged processes as one node's, with gpids for pids and the
// files rewritten, for a front end on the same machine (aggrfs exec, aggrfs
// mount) that shows them as they are.
func newSnapshotDir(v *view) vfs.Node {
	id := childID(v.id, snapshotName)
	return snapshot.NewDir(id, v.c.made.attr(id, vfs.TypeDir), v.snapshot)
}

// snapshot makes one answer, with the files in the form that the view's identity
// may have.
func (v *view) snapshot(ctx context.Context, req snapshot.Request) ([]byte, error) {
	nodes := v.nodes()
	rosters := eachNode(ctx, v.c, nodes, func(ctx context.Context, n *node) roster { return n.sweptFor(ctx, v.who) })
	var b snapshot.Builder
	b.Reset(v.facts(rosters), req.Files)
	for i, n := range nodes {
		if r := rosters[i]; r.t != nil {
			v.addProcesses(&b, n, r, req.Files)
			b.Skip(r.t.Skipped())
		}
	}
	return b.Finish(req.Compress)
}

// addProcesses adds the processes of one node. Nodes come by index, so gpids
// rise.
func (v *view) addProcesses(b *snapshot.Builder, n *node, r roster, files []string) {
	m := v.c.mapping(n, r.t.Facts(), v.host)
	for i := range r.t.Len() {
		p := r.t.Proc(i)
		g := n.gpid(PID(p.PID))
		if g == 0 || !v.sees(p.UID) || !r.has(i) {
			continue
		}
		proc := newProcess(n, PID(p.PID), p.ID, p.UID)
		proc.m = m
		dir := newProcessDir(v, 0, proc, vfs.Attr{})
		p.PID, p.ID = int32(g), processID(v.id, n.index, p.ID)
		b.Begin(p)
		for _, name := range files {
			raw, err := dir.rowFile(r.t, i, name)
			if err != nil {
				b.Fail(vfs.Errno(err))
			} else {
				b.Add(raw)
			}
		}
	}
}

// facts are those of the reader's machine, as which the merged tree appears.
// The answer is good for as long as the shortest-lived table in it.
func (v *view) facts(rosters []roster) snapshot.Facts {
	c := v.c
	f := snapshot.Facts{
		BootID: v.host.bootID, BootTime: v.host.boot, Hz: int(v.host.hz), PageSize: int(v.host.pageSize),
		PIDMax: maxGPID, Version: c.cfg.Version, Keep: c.store.Policy().Table(),
	}
	now := c.cfg.Now()
	for _, r := range rosters {
		if t := r.t; t != nil {
			f.Keep = min(f.Keep, t.keep(now))
		}
	}
	f.Keep = max(f.Keep, 1) // 0 would leave it to the reader
	return f
}
