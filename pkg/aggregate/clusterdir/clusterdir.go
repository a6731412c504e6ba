package clusterdir

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/pkg/aggregate/actions"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/monitor"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newDir makes cluster/: tables about the cluster.
//
//	nodes     a row a node
//	ps        a row a process, see psFile
//	ps-of/USER  the same of one user's processes alone; can be walked, is not listed
//	cgroups   of what each process is part, see cgroupsTable
//	details   more of each process, see detailsTable; can be walked, is not listed
//	whoami    who the reader is, and what they may see
//	policy    what is cached by which rule of the policy, for who sees everything
//	status    how the front end itself is, what is wrong and what to do; of a part of it for others
//	status.json  the same in JSON
//	explain/NODE!PATH  which rule is for a file, and what is cached of it, for them; can be
//	          walked, is not listed
//	hints     what commands that ask for tables must know; can be walked, is not listed
//	where/ID  one process, by gpid or NODE:PID; can be walked, is not listed
//	ctl       takes actions on processes, for who may act on any, see package control
func newDir(v viewTables, s *actions.Session, id uint64) vfs.Node {
	file := func(name string, text func(context.Context) []byte) vfs.Node {
		return v.t.Base.File(objectid.Child(id, name), func(ctx context.Context) ([]byte, error) { return text(ctx), nil })
	}
	// dir has files that can be walked and are not listed.
	dir := func(name string, walk func(context.Context, uint64, string) (vfs.Node, error)) vfs.Node {
		dir := objectid.Child(id, name)
		return v.t.Base.Dir(dir, func(ctx context.Context, name string) (vfs.Node, error) {
			return walk(ctx, objectid.Child(dir, name), name)
		}, nil)
	}
	return v.t.Base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
		switch {
		case name == "nodes":
			return file(name, v.nodesTable), nil
		case name == "where":
			return dir(name, v.whereFile), nil
		case name == "ps":
			return v.psFile(objectid.Child(id, name), nil), nil
		case name == "ps-of":
			return v.psOfDir(objectid.Child(id, name)), nil
		case name == "cgroups":
			return file(name, sideTables{v}.cgroupsTable), nil
		case name == detailsFile:
			return file(name, sideTables{v}.detailsTable), nil
		case name == HintsFile:
			return file(name, func(context.Context) []byte { return v.hintsTable() }), nil
		case name == "whoami":
			return file(name, func(context.Context) []byte { return v.whoamiTable() }), nil
		case name == "ctl" && s.Allowed():
			return s.File(v.t.Base.Attr(objectid.Child(id, name), vfs.TypeFile)), nil
		case name == "status":
			return file(name, func(context.Context) []byte { return statusOf(v).text() }), nil
		case name == "status.json":
			return v.t.Base.File(objectid.Child(id, name), func(context.Context) ([]byte, error) { return statusOf(v).json() }), nil
		case !v.SeesAll():
		case name == "policy":
			return file(name, func(context.Context) []byte { return v.t.Store.Table() }), nil
		case name == "explain":
			return dir(name, v.explanation), nil
		}
		return v.t.monitor.Of(v.View).Walk(id, name)
	}, func(context.Context) ([]vfs.DirEntry, error) {
		files, dirs := []string{"cgroups", "nodes", "ps", "status", "status.json", "whoami"}, []string{monitor.Every, "where"}
		files = append(files, v.t.monitor.Of(v.View).Names()...)
		if s.Allowed() {
			files = append(files, "ctl")
		}
		if v.SeesAll() {
			files, dirs = append(files, "policy"), append(dirs, "explain")
		}
		var all []vfs.DirEntry
		for _, name := range files {
			all = append(all, synthetic.Entry(id, name, vfs.TypeFile))
		}
		for _, name := range dirs {
			all = append(all, synthetic.Entry(id, name, vfs.TypeDir))
		}
		return synthetic.Sort(all), nil
	})
}

// nodesTable is cluster/nodes.
func (v viewTables) nodesTable(ctx context.Context) []byte {
	nodes := v.Nodes()
	summaries := make(chan []monitor.Summary, 1)
	go func() { summaries <- v.t.monitor.Nodes(ctx, v.View, nodes) }()
	// As a listing has just found them, or would find them now: what it would lack has no
	// number.
	rosters := proctable.Each(ctx, nodes, func(ctx context.Context, n *proctable.Node) proctable.Roster {
		return n.LatestRoster(ctx, v.Who)
	})
	busy := <-summaries
	rows := make([]report.Node, len(nodes))
	for i, n := range nodes {
		h, r, now := n.Health(), rosters[i], v.t.Now()
		row := report.Node{
			Name: string(n.Name), Index: n.Index, State: string(h.State), Missed: new(n.Missed()), Address: n.Address,
			Stale: report.Age(cmp.Or(r.Age, n.StaleSince(now))),
		}
		row.Load, row.CPU, row.Mem = busy[i].Load, busy[i].CPU, busy[i].Mem
		if !h.Last.IsZero() { // what has just been is known, too
			row.Answered, row.Latency = report.Age(max(now.Sub(h.Last), 1)), report.Latency(max(h.Latency, 1))
		}
		if t := n.Table(); t != nil {
			if r.Table != nil {
				row.Procs = new(uint64(v.count(r)))
			}
			row.Booted, row.Version = t.Facts().BootTime, t.Facts().Version
		}
		if err := cmp.Or(n.Problem(), r.Err); err != nil {
			row.Problem = err.Error()
		}
		rows[i] = row
	}
	return report.EncodeNodes(rows)
}

// count is how many processes of a node are in the view.
func (v viewTables) count(r proctable.Roster) int {
	n := 0
	for row := range r.Rows {
		if v.Sees(row.UID()) {
			n++
		}
	}
	return n
}

// whereFile is cluster/where/ID: two lines, a header and where to find the
// process.
func (v viewTables) whereFile(ctx context.Context, id uint64, name string) (vfs.Node, error) {
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
	return v.t.Base.File(id, func(ctx context.Context) ([]byte, error) {
		return report.EncodeWhere(report.Where{
			Node: string(n.Name), PID: pid, GPID: n.GPIDFor(v.Host, pid), User: v.t.Users.UserName(a.UID), Command: v.command(ctx, p),
		}), nil
	}), nil
}

// maxCommand bounds the command shown by cluster/where, in bytes.
const maxCommand = 4096

// command is a process's command line, or its name in brackets where it has
// none, as ps shows it. It is "" where that is not known.
func (v viewTables) command(ctx context.Context, p *view.Process) string {
	dir := remote.NewProcessDir(v.View, 0, p, vfs.Attr{Mode: uint32(vfs.TypeDir)})
	raw, err := vfs.ReadFile(ctx, dir, remote.MaxContent, "cmdline")
	if args := strings.TrimRight(string(raw), "\x00"); err == nil && args != "" {
		return strings.ReplaceAll(args[:min(len(args), maxCommand)], "\x00", " ")
	}
	raw, err = vfs.ReadFile(ctx, dir, 1<<20, "comm")
	if err != nil {
		return ""
	}
	return "[" + strings.TrimSuffix(string(raw), "\n") + "]"
}

// whoamiTable is cluster/whoami.
func (v viewTables) whoamiTable() []byte {
	nodes, scope := v.Nodes(), v.Scope()
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = string(n.Name)
	}
	var groups []string
	for _, g := range scope.Groups(v.Who) {
		groups = append(groups, fmt.Sprint(g))
	}
	w := report.Whoami{
		User: v.userText(v.Who.UID), Groups: strings.Join(groups, ","), Certificate: v.Who.Cert,
		Rule: scope.Rule, Place: scope.Place, Nodes: report.NodesText(names),
		Processes: v.whose(scope), Denied: strings.Join(scope.Denied(), " "),
	}
	if c := scope.Control(); !c.None() {
		w.Control = c.String()
	}
	if end := scope.End(); !end.IsZero() {
		w.Until = end.Format(time.RFC3339)
	}
	if s := v.t.Access.Source(); s != nil && (scope.Allocated() || v.SeesAll()) {
		w.Allocations = report.AllocationsText(s, v.t.Now(), v.SeesAll())
	}
	return report.EncodeWhoami(w)
}

// userText is a user by name and number.
func (v viewTables) userText(uid uint32) string { return report.UserText(v.t.Users.UserName(uid), uid) }

// whose says whose processes the view has.
func (v viewTables) whose(scope *access.Scope) string {
	if !v.Limited() {
		return "all"
	}
	var users []string
	for _, uid := range scope.UIDs() {
		if v.Sees(uid) {
			users = append(users, v.userText(uid))
		}
	}
	if v.User() != nil && scope.AllProcesses() {
		users = append(users, v.userText(*v.User()))
	}
	return strings.Join(users, ", ")
}

// detailsFile is the file for commands that are asked for more than cluster/ps has.
const detailsFile = "details"

// HintsFile is the file for commands that ask for tables.
const HintsFile = "hints"

// hintsTable is cluster/hints.
func (v viewTables) hintsTable() []byte {
	t := v.t.Timeouts
	return report.EncodeHints(report.Hints{Connect: t.Connect, Read: t.Read, Sweep: t.Sweep, Remarks: true})
}
