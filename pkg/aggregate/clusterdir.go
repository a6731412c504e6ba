package aggregate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
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
func newClusterDir(v *view, id uint64) vfs.Node {
	nodes := func() vfs.Node {
		return &madeFile{made: v.c.made, id: childID(id, "nodes"), content: func(ctx context.Context) ([]byte, error) {
			return v.nodesTable(ctx), nil
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
		case "ps-of":
			return v.psOfDir(childID(id, name)), nil
		case "ps":
			return &psFile{made: v.c.made, v: v, id: childID(id, name)}, nil
		case "jobs":
			return &madeFile{made: v.c.made, id: childID(id, name), content: func(ctx context.Context) ([]byte, error) {
				return v.jobsTable(ctx), nil
			}}, nil
		case "policy", "status", "explain":
			if !v.seesAll() {
				return nil, syscall.ENOENT
			}
			return v.forAdmins(childID(id, name), name), nil
		case hintsFile:
			return &madeFile{made: v.c.made, id: childID(id, name), content: func(context.Context) ([]byte, error) {
				return v.hintsTable(), nil
			}}, nil
		case "whoami":
			return &madeFile{made: v.c.made, id: childID(id, name), content: func(context.Context) ([]byte, error) {
				return v.whoamiTable(), nil
			}}, nil
		}
		return nil, syscall.ENOENT
	}, list: func(context.Context) ([]vfs.DirEntry, error) {
		all := []vfs.DirEntry{
			namedEntry(id, "jobs", vfs.TypeFile), namedEntry(id, "nodes", vfs.TypeFile), namedEntry(id, "ps", vfs.TypeFile), namedEntry(id, "where", vfs.TypeDir), namedEntry(id, "whoami", vfs.TypeFile),
		}
		if v.seesAll() {
			all = append(all, namedEntry(id, "policy", vfs.TypeFile), namedEntry(id, "status", vfs.TypeFile), namedEntry(id, "explain", vfs.TypeDir))
		}
		return sortEntries(all), nil
	}}
}

// forAdmins is an entry that those have who see everything.
func (v *view) forAdmins(id uint64, name string) vfs.Node {
	if name == "explain" {
		return &madeDir{made: v.c.made, id: id, walk: func(ctx context.Context, name string) (vfs.Node, error) {
			return v.explanation(ctx, childID(id, name), name)
		}, list: func(context.Context) ([]vfs.DirEntry, error) { return nil, nil }}
	}
	return &madeFile{made: v.c.made, id: id, content: func(context.Context) ([]byte, error) {
		if name == "status" {
			return v.c.statusTable(), nil
		}
		return v.c.store.Table(), nil
	}}
}

// nodesTable is cluster/nodes: name, index, state, seconds since the last answer,
// latency of it in milliseconds, processes of the view as a listing would find them now,
// how many answers had to do without the node or with old values (see Cluster.Missed), when it was booted,
// version of the leaf, how old the rows are that are shown, or how long ago another old
// value was, since the node did not answer, its address, and what is wrong. "-" is not
// known, or never.
func (v *view) nodesTable(ctx context.Context) []byte {
	nodes := v.nodes()
	// As a listing has just found them, or would find them now: what it would lack has no
	// number.
	rosters := eachNode(ctx, nodes, func(ctx context.Context, n *node) roster {
		if t := n.table.Load(); t.keep(n.now()) > 0 && !n.hides(t, v.who) && n.healthNow().state == stateUp {
			return roster{t: t}
		}
		return n.roster(ctx, v.who)
	})
	rows := [][]string{{"NODE", "INDEX", "STATE", "ANSWERED", "LATENCY", "PROCS", "MISSED", "BOOTED", "VERSION", "STALE", "ADDRESS", "ERROR"}}
	for i, n := range nodes {
		h := n.healthNow()
		now := v.c.cfg.Now()
		row := []string{string(n.name), fmt.Sprint(n.index), string(h.state), "-", "-", "-", fmt.Sprint(n.missed.Load()), "-", "-", "-", orDash(n.address), "-"}
		if !h.last.IsZero() {
			row[3] = fmt.Sprintf("%.1fs", now.Sub(h.last).Seconds())
			row[4] = fmt.Sprintf("%.2fms", float64(h.latency)/float64(time.Millisecond))
		}
		if t := n.table.Load(); t != nil {
			if rosters[i].t != nil {
				row[5] = fmt.Sprint(v.count(rosters[i]))
			}
			row[7] = t.Facts().BootTime.UTC().Format(time.RFC3339)
			row[8] = orDash(t.Facts().Version)
		}
		if age := rosters[i].age; age > 0 {
			row[9] = fmt.Sprintf("%.1fs", age.Seconds())
		} else if at := n.stale.Load(); at != 0 && at > h.last.UnixNano() {
			row[9] = fmt.Sprintf("%.1fs", now.Sub(time.Unix(0, at)).Seconds())
		}
		if err := cmp.Or(h.problem(), rosters[i].err); err != nil {
			row[11] = err.Error()
		}
		rows = append(rows, row)
	}
	return plaintext.Table(rows)
}

// count is how many processes of a node are in the view.
func (v *view) count(r roster) int {
	n := 0
	for i := range r.t.Len() {
		if v.sees(r.t.UID(i)) && r.has(i) {
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
	want, err := gpid.ParseID(name)
	if err != nil {
		return nil, syscall.ENOENT
	}
	n, pid := v.node(want.Node), want.PID
	if want.Node == "" {
		n, pid, _ = v.locate(want.GPID)
	}
	if n == nil {
		if want.Node == "" {
			_ = v.likeFound(ctx, want.GPID) // it is nobody's, whatever that says
		}
		return nil, syscall.ENOENT
	}
	p, a, err := v.process(ctx, n, pid)
	if err != nil {
		return nil, n.shortage(err)
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
func (c *Cluster) Names() []gpid.NodeName {
	names := make([]gpid.NodeName, 0, len(c.nodes))
	for n := range slices.Values(c.nodes) {
		names = append(names, n.name)
	}
	return names
}
