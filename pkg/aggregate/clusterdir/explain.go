package clusterdir

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// ExplainName is the name in cluster/explain of a file of a node, by its path relative
// to the node's /proc; "" is any node.
func ExplainName(node, path string) string {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/proc/"), "/")
	return node + "!" + strings.ReplaceAll(path, "/", "!")
}

// explanation is a file of cluster/explain: which rule of the policy in force is for a
// file, and what is cached of it for the requester.
func (v viewTables) explanation(ctx context.Context, id uint64, name string) (vfs.Node, error) {
	node, path, ok := strings.Cut(name, "!")
	path = strings.ReplaceAll(path, "!", "/")
	if !ok || node != "" && v.Node(gpid.NodeName(node)) == nil {
		return nil, syscall.ENOENT
	}
	e, err := v.t.Store.Policy().Explain(node, path)
	if err != nil {
		return nil, syscall.ENOENT
	}
	return v.t.Base.File(id, func(ctx context.Context) ([]byte, error) {
		return append(e.Text(path), v.cachedText(gpid.NodeName(node), path)...), nil
	}), nil
}

// cachedText is the lines that say what is cached of a file.
func (v viewTables) cachedText(name gpid.NodeName, path string) []byte {
	var lines strings.Builder
	nodes := v.Nodes()
	if name != "" {
		nodes = []*proctable.Node{v.Node(name)}
	}
	for _, n := range nodes {
		if text := v.cachedOf(n, path); text != "" {
			fmt.Fprintf(&lines, "%-7s on %s: %s\n", "held", n.Name, text)
		}
	}
	if lines.Len() == 0 {
		return []byte("held    nothing for you now\n")
	}
	return []byte(lines.String())
}

// cachedOf says what is cached of a file of one node, "" for nothing.
func (v viewTables) cachedOf(n *proctable.Node, path string) string {
	if n == nil {
		return ""
	}
	names := strings.Split(path, "/")
	var proc *view.Process
	if pid, ok := gpid.Parse(names[0]); ok {
		t := n.Table()
		if t == nil || len(names) < 2 {
			return ""
		}
		row, found := t.Lookup(gpid.PID(pid))
		if !found {
			return ""
		}
		proc = view.Of(n, row)
		if name := strings.Join(names[1:], "/"); t.FileIndex(name) >= 0 {
			content, err := row.File(proctable.Full, name)
			if left := t.Left(n.Now()); left > 0 && err == nil {
				return fmt.Sprintf("%d bytes in the table, good for another %v", len(content), left.Round(time.Millisecond))
			}
			return ""
		}
	}
	key, ok := remote.CacheKey(n, v.View, n.Clock(), proc, names...)
	if !ok {
		return ""
	}
	info, held := v.t.Store.Cached(key)
	switch {
	case !held:
		return ""
	case info.Err != nil:
		return fmt.Sprintf("that it gave the error %q, %v ago, %d hits", info.Err, info.Age.Round(time.Millisecond), info.Hits)
	}
	return fmt.Sprintf("%d bytes, %v old, %d hits", info.Size, info.Age.Round(time.Millisecond), info.Hits)
}
