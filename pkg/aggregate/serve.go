package aggregate

import (
	"context"
	"syscall"

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

// snapshot makes one answer. Only root gets it: the files in the tables are as
// root may read them.
func (v *view) snapshot(ctx context.Context, req snapshot.Request) ([]byte, error) {
	if !v.who.IsRoot() {
		return nil, syscall.EACCES
	}
	tables := v.c.sweep(ctx, v.nodes)
	index := make([]int, len(req.Files))
	for i, name := range req.Files {
		index[i] = v.nodes[0].fileIndex([]string{name})
	}
	var b snapshot.Builder
	b.Reset(v.c.facts(tables), req.Files)
	for i, n := range v.nodes {
		t := tables[i]
		if t == nil {
			continue
		}
		v.addTable(&b, n, t, index)
		b.Skip(t.Skipped())
	}
	return b.Finish(req.Compress)
}

// addTable adds the processes of one node. Nodes come by index, so gpids rise.
func (v *view) addTable(b *snapshot.Builder, n *node, t *table, index []int) {
	m := v.c.mapping(n, t.Facts())
	for i := range t.Len() {
		p := t.Proc(i)
		g := n.gpid(PID(p.PID))
		if g == 0 || !v.sees(p.UID) {
			continue
		}
		proc := &process{n: n, pid: PID(p.PID), leaf: p.ID, m: m}
		p.PID, p.ID = int32(g), processID(v.id, n.index, p.ID)
		b.Begin(p)
		for _, k := range index {
			raw, errno := t.File(i, k)
			if errno == 0 {
				var err error
				if raw, err = proc.rewrite(t.Files()[k:k+1], raw); err != nil {
					errno = vfs.Errno(err)
				}
			}
			if errno != 0 {
				b.Fail(errno)
			} else {
				b.Add(raw)
			}
		}
	}
}

// facts are those of the reader's machine, as which the merged tree appears.
// The answer is good for as long as the shortest-lived table in it.
func (c *Cluster) facts(tables []*table) snapshot.Facts {
	f := snapshot.Facts{
		BootID: c.host.bootID, BootTime: c.host.boot, Hz: int(c.host.hz), PageSize: int(c.host.pageSize),
		PIDMax: maxGPID, Version: c.cfg.Version, Keep: c.cfg.Policy.Table(),
	}
	now := c.cfg.Now()
	for _, t := range tables {
		if t != nil {
			f.Keep = min(f.Keep, t.keep(now))
		}
	}
	f.Keep = max(f.Keep, 1) // 0 would leave it to the reader
	return f
}
