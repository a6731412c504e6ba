package tree

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newClusterDir makes cluster/: tables about the cluster.
//
//	nodes     a row a node
//	ps        a row a process, see psFile
//	ps-of/USER  the same of one user's processes alone; can be walked, is not listed
//	jobs      which process is part of which job, see jobsTable
//	whoami    who the reader is, and what they may see
//	policy    what is held by which rule of the cache policy, for who sees everything
//	status    how the front end itself is, for them
//	explain/NODE!PATH  which rule is for a file, and what is held of it, for them; can be
//	          walked, is not listed
//	hints     what who mirrors the tree must know; can be walked, is not listed
//	where/ID  one process, by gpid or NODE:PID; can be walked, is not listed
func newClusterDir(v viewTree, id uint64) vfs.Node {
	nodes := func() vfs.Node {
		return v.t.base.File(objectid.Child(id, "nodes"), func(ctx context.Context) ([]byte, error) {
			return v.nodesTable(ctx), nil
		})
	}
	where := func() vfs.Node {
		dir := objectid.Child(id, "where")
		return v.t.base.Dir(dir, func(ctx context.Context, name string) (vfs.Node, error) {
			return v.whereFile(ctx, objectid.Child(dir, name), name)
		}, nil)
	}
	return v.t.base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
		switch name {
		case "nodes":
			return nodes(), nil
		case "where":
			return where(), nil
		case "ps-of":
			return v.psOfDir(objectid.Child(id, name)), nil
		case "ps":
			return v.psFile(objectid.Child(id, name), nil), nil
		case "jobs":
			return v.t.base.File(objectid.Child(id, name), func(ctx context.Context) ([]byte, error) {
				return v.jobsTable(ctx), nil
			}), nil
		case "policy", "status", "explain":
			if !v.SeesAll() {
				return nil, syscall.ENOENT
			}
			return v.forAdmins(objectid.Child(id, name), name), nil
		case hintsFile:
			return v.t.base.File(objectid.Child(id, name), func(context.Context) ([]byte, error) {
				return v.hintsTable(), nil
			}), nil
		case "whoami":
			return v.t.base.File(objectid.Child(id, name), func(context.Context) ([]byte, error) {
				return v.whoamiTable(), nil
			}), nil
		}
		return nil, syscall.ENOENT
	}, func(context.Context) ([]vfs.DirEntry, error) {
		all := []vfs.DirEntry{
			synthetic.Entry(id, "jobs", vfs.TypeFile), synthetic.Entry(id, "nodes", vfs.TypeFile), synthetic.Entry(id, "ps", vfs.TypeFile), synthetic.Entry(id, "where", vfs.TypeDir), synthetic.Entry(id, "whoami", vfs.TypeFile),
		}
		if v.SeesAll() {
			all = append(all, synthetic.Entry(id, "policy", vfs.TypeFile), synthetic.Entry(id, "status", vfs.TypeFile), synthetic.Entry(id, "explain", vfs.TypeDir))
		}
		return synthetic.Sort(all), nil
	})
}

// forAdmins is an entry that those have who see everything.
func (v viewTree) forAdmins(id uint64, name string) vfs.Node {
	if name == "explain" {
		return v.t.base.Dir(id, func(ctx context.Context, name string) (vfs.Node, error) {
			return v.explanation(ctx, objectid.Child(id, name), name)
		}, nil)
	}
	return v.t.base.File(id, func(context.Context) ([]byte, error) {
		if name == "status" {
			return v.t.statusTable(), nil
		}
		return v.t.Store.Table(), nil
	})
}

// nodesTable is cluster/nodes: name, index, state, seconds since the last answer,
// latency of it in milliseconds, processes of the view as a listing would find them now,
// how many answers had to do without the node or with old values (see Cluster.Missed), when it was booted,
// version of the leaf, how old the rows are that are shown, or how long ago another old
// value was, since the node did not answer, its address, and what is wrong. "-" is not
// known, or never.
func (v viewTree) nodesTable(ctx context.Context) []byte {
	nodes := v.Nodes()
	// As a listing has just found them, or would find them now: what it would lack has no
	// number.
	rosters := proctable.Each(ctx, nodes, func(ctx context.Context, n *proctable.Node) proctable.Roster {
		return n.Latest(ctx, v.Who)
	})
	rows := [][]string{{"NODE", "INDEX", "STATE", "ANSWERED", "LATENCY", "PROCS", "MISSED", "BOOTED", "VERSION", "STALE", "ADDRESS", "ERROR"}}
	for i, n := range nodes {
		h := n.Health()
		now := v.t.Now()
		row := []string{string(n.Name), fmt.Sprint(n.Index), string(h.State), "-", "-", "-", fmt.Sprint(n.Missed()), "-", "-", "-", orDash(n.Address), "-"}
		if !h.Last.IsZero() {
			row[3] = fmt.Sprintf("%.1fs", now.Sub(h.Last).Seconds())
			row[4] = fmt.Sprintf("%.2fms", float64(h.Latency)/float64(time.Millisecond))
		}
		if t := n.Table(); t != nil {
			if rosters[i].Table != nil {
				row[5] = fmt.Sprint(v.count(rosters[i]))
			}
			row[7] = t.Facts().BootTime.UTC().Format(time.RFC3339)
			row[8] = orDash(t.Facts().Version)
		}
		if age := rosters[i].Age; age > 0 {
			row[9] = fmt.Sprintf("%.1fs", age.Seconds())
		} else if age := n.StaleSince(now); age > 0 {
			row[9] = fmt.Sprintf("%.1fs", age.Seconds())
		}
		if err := cmp.Or(n.Problem(), rosters[i].Err); err != nil {
			row[11] = err.Error()
		}
		rows = append(rows, row)
	}
	return plaintext.Table(rows)
}

// count is how many processes of a node are in the view.
func (v viewTree) count(r proctable.Roster) int {
	n := 0
	for row := range r.Rows {
		if v.Sees(row.UID()) {
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
func (v viewTree) whereFile(ctx context.Context, id uint64, name string) (vfs.Node, error) {
	want, err := gpid.ParseID(name)
	if err != nil {
		return nil, syscall.ENOENT
	}
	n, pid := v.Node(want.Node), want.PID
	if want.Node == "" {
		if n, pid, _ = v.Locate(want.GPID); n == nil {
			_ = v.ResolveNobody(ctx, want.GPID) // it is nobody's, whatever that says
		}
	}
	if n == nil {
		return nil, syscall.ENOENT
	}
	p, a, err := view.Resolve(ctx, v.View, n, pid)
	if err == nil {
		p.Map, err = n.MapFor(ctx, v.Host)
	}
	if err != nil {
		return nil, n.Short(err)
	}
	return v.t.base.File(id, func(ctx context.Context) ([]byte, error) {
		return plaintext.Table([][]string{
			{"NODE", "PID", "GPID", "USER", "COMMAND"},
			{string(n.Name), fmt.Sprint(pid), n.GPID(pid).String(), v.t.Users.UserName(a.UID), v.command(ctx, p)},
		}), nil
	}), nil
}

// maxCommand bounds the command shown, in bytes.
const maxCommand = 4096

// command is a process's command line, or its name in brackets where it has
// none, as ps shows it.
func (v viewTree) command(ctx context.Context, p *view.Process) string {
	dir := remote.NewProcessDir(v.View, 0, p, vfs.Attr{Mode: uint32(vfs.TypeDir)})
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
