package procfs9p

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// entryNames are the names that the directories of processes and threads have in
// the tree, as this process's own show them or, where it is not in the procfs, the
// first's; they are read once.
func (l *Leaf) entryNames(ctx context.Context, pids []pidIno) snapshot.Names {
	if names := l.entryList.Load(); names != nil {
		return *names
	}
	pid := l.self
	if pid == 0 && len(pids) > 0 {
		pid = pids[0].pid
	}
	process, err := l.namesIn(ctx, pidName(pid))
	if err != nil {
		return snapshot.Names{}
	}
	thread, err := l.namesIn(ctx, pidName(pid), "task", pidName(pid))
	if err != nil {
		return snapshot.Names{}
	}
	names := snapshot.NewNames(process, thread)
	l.entryList.Store(&names)
	return names
}

// namesIn lists a directory.
func (l *Leaf) namesIn(ctx context.Context, path ...string) ([]snapshot.Name, error) {
	n, _, err := vfs.WalkPath(ctx, dir{node{s: l.itself, id: l.seed, typ: vfs.TypeDir}}, path...)
	if err != nil {
		return nil, err
	}
	d := n.(dir)
	entries, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]snapshot.Name, 0, len(entries))
	for _, e := range entries {
		a, err := d.child(e.Name, e.Type).Attr(ctx)
		if err != nil {
			return nil, err
		}
		names = append(names, snapshot.Name{Name: e.Name, Mode: a.Mode})
	}
	return names, nil
}
