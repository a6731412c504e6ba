package aggregate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newClusterDir makes cluster/: tables about the cluster.
//
//	nodes     a row a node
//	whoami    who the reader is, and what they may see
//	where/ID  one process, by gpid or NODE:PID; can be walked, is not listed
func newClusterDir(v *view, id uint64) vfs.Node {
	nodes := func() vfs.Node {
		return &madeFile{made: v.c.made, id: childID(id, "nodes"), content: func(ctx context.Context) ([]byte, error) {
			v.c.sweep(ctx, v.nodes()) // the state as of now, and the numbers of processes
			return v.nodesTable(), nil
		}}
	}
	where := func() vfs.Node {
		dir := childID(id, "where")
		return &madeDir{made: v.c.made, id: dir, walk: func(ctx context.Context, name string) (vfs.Node, error) {
			return v.whereFile(ctx, childID(dir, name), name)
		}, list: func(context.Context) ([]vfs.DirEntry, error) { return nil, nil }}
	}
	return &madeDir{made: v.c.made, id: id, walk: func(_ context.Context, name string) (vfs.Node, error) {
		switch name {
		case "nodes":
			return nodes(), nil
		case "where":
			return where(), nil
		case "whoami":
			return &madeFile{made: v.c.made, id: childID(id, name), content: func(context.Context) ([]byte, error) {
				return v.whoamiTable(), nil
			}}, nil
		}
		return nil, syscall.ENOENT
	}, list: func(context.Context) ([]vfs.DirEntry, error) {
		return sortEntries([]vfs.DirEntry{
			namedEntry(id, "nodes", vfs.TypeFile), namedEntry(id, "where", vfs.TypeDir), namedEntry(id, "whoami", vfs.TypeFile),
		}), nil
	}}
}

// nodesTable is cluster/nodes: name, index, state, seconds since the last
// answer, latency of it in milliseconds, processes of the view as of the last
// sweep, when it was booted, version of the leaf, and what is wrong. "-" is not
// known.
func (v *view) nodesTable() []byte {
	rows := [][]string{{"NODE", "INDEX", "STATE", "ANSWERED", "LATENCY", "PROCS", "BOOTED", "VERSION", "ADDRESS", "ERROR"}}
	for _, n := range v.nodes() {
		h := n.healthNow()
		now := v.c.cfg.Now()
		row := []string{string(n.name), fmt.Sprint(n.index), string(h.state), "-", "-", "-", "-", "-", orDash(n.address), "-"}
		if !h.last.IsZero() {
			row[3] = fmt.Sprintf("%.1fs", now.Sub(h.last).Seconds())
			row[4] = fmt.Sprintf("%.2fms", float64(h.latency)/float64(time.Millisecond))
		}
		if t := n.table.Load(); t != nil {
			if h.state == stateUp {
				row[5] = fmt.Sprint(v.count(t))
			}
			row[6] = t.Facts().BootTime.UTC().Format(time.RFC3339)
			row[7] = orDash(t.Facts().Version)
		}
		if err := h.problem(); err != nil {
			row[9] = err.Error()
		}
		rows = append(rows, row)
	}
	return plaintext.Table(rows)
}

// count is how many processes of a table are in the view.
func (v *view) count(t *table) int {
	if !v.limited() {
		return t.Len()
	}
	n := 0
	for i := range t.Len() {
		if v.sees(t.Proc(i).UID) {
			n++
		}
	}
	return n
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// whereFile is cluster/where/ID: two lines, a header and where to find the
// process.
func (v *view) whereFile(ctx context.Context, id uint64, name string) (vfs.Node, error) {
	want, err := ParseID(name)
	if err != nil {
		return nil, syscall.ENOENT
	}
	n, pid := v.node(want.Node), want.PID
	if want.Node == "" {
		n, pid, _ = v.locate(want.GPID)
	}
	if n == nil {
		return nil, syscall.ENOENT
	}
	p, a, err := v.process(ctx, n, pid)
	if err != nil {
		return nil, err
	}
	return &madeFile{made: v.c.made, id: id, content: func(ctx context.Context) ([]byte, error) {
		return plaintext.Table([][]string{
			{"NODE", "PID", "GPID", "USER", "COMMAND"},
			{string(n.name), fmt.Sprint(pid), n.gpid(pid).String(), v.c.users.UserName(a.UID), v.command(ctx, p)},
		}), nil
	}}, nil
}

// maxCommand bounds the command shown, in bytes.
const maxCommand = 4096

// command is a process's command line, or its name in brackets where it has
// none, as ps shows it.
func (v *view) command(ctx context.Context, p *process) string {
	dir := newProcessDir(v, 0, p, vfs.Attr{Mode: uint32(vfs.TypeDir)})
	raw, err := vfs.ReadFile(ctx, dir, 1<<20, "cmdline")
	if args := strings.TrimRight(string(raw), "\x00"); err == nil && args != "" {
		return strings.ReplaceAll(args[:min(len(args), maxCommand)], "\x00", " ")
	}
	raw, err = vfs.ReadFile(ctx, dir, 1<<20, "comm")
	if err != nil {
		return "-"
	}
	return "[" + strings.TrimSuffix(string(raw), "\n") + "]"
}

// Names are the nodes of the cluster, by index.
func (c *Cluster) Names() []NodeName {
	names := make([]NodeName, 0, len(c.nodes))
	for n := range slices.Values(c.nodes) {
		names = append(names, n.name)
	}
	return names
}
