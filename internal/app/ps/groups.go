package ps

import (
	"bytes"
	"cmp"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// groupings are what rows can be summed up by.
var groupings = map[string]func(*report.Process) string{
	"node":    func(p *report.Process) string { return p.Node },
	"user":    func(p *report.Process) string { return p.User },
	"job":     (*report.Process).Job,
	"command": commandOf,
}

// commandOf is what a process runs, without its directory and its arguments. What stands in brackets
// is the name of one that has no arguments.
func commandOf(p *report.Process) string {
	if bytes.HasPrefix(p.Command, []byte("[")) {
		return string(p.Command)
	}
	name, _, _ := bytes.Cut(bytes.ReplaceAll(p.Command, []byte{0}, []byte(" ")), []byte(" "))
	if len(name) == 0 {
		return ""
	}
	return path.Base(string(name))
}

// A group is what the processes have together that are the same by something.
type group struct {
	name  string
	procs int
	nodes map[string]bool
	time  report.Centiseconds
	rss   int64 // KiB; memory that they share counts for each
}

// checkGroups is what is wrong with what is asked for beside groups.
func (o Options) checkGroups() error {
	switch {
	case o.GroupBy == "":
		return nil
	case groupings[o.GroupBy] == nil:
		return exit.Usagef("--group-by: %q is none of node, user, job, command", o.GroupBy)
	case o.Columns != "" || o.Sort != "":
		return exit.Usagef("--group-by has columns and an order of its own: leave out -o and --sort")
	}
	return nil
}

// groupsOf sums rows up, those first that have most memory.
func groupsOf(rows []*report.Process, by string) []*group {
	groups := make(map[string]*group)
	var all []*group
	for _, p := range rows {
		name := groupings[by](p)
		g := groups[name]
		if g == nil {
			g = &group{name: name, nodes: make(map[string]bool)}
			groups[name], all = g, append(all, g)
		}
		g.procs++
		g.nodes[p.Node] = true
		g.time += p.CPU
		g.rss += p.RSS
	}
	slices.SortFunc(all, func(x, y *group) int {
		return cmp.Or(cmp.Compare(y.rss, x.rss), cmp.Compare(y.procs, x.procs), strings.Compare(x.name, y.name))
	})
	return all
}

// cells are the columns of a group.
func (g *group) cells() []string {
	return []string{
		g.name, strconv.Itoa(g.procs), strconv.Itoa(len(g.nodes)),
		strconv.FormatFloat(float64(g.time)/100, 'f', 2, 64), strconv.FormatInt(g.rss, 10),
	}
}

// object is a group in JSON.
func (g *group) object(by string) map[string]any {
	return map[string]any{by: plaintext.Escape(g.name), "procs": g.procs, "nodes": len(g.nodes), "time": float64(g.time) / 100, "rss": g.rss}
}

// writeGroups prints groups.
func writeGroups(out io.Writer, all []*group, by string, header bool) error {
	var lines [][]string
	if header {
		lines = append(lines, []string{strings.ToUpper(by), "PROCS", "NODES", "TIME", "RSS"})
	}
	for _, g := range all {
		lines = append(lines, g.cells())
	}
	_, err := out.Write(plaintext.Table(lines))
	return err
}
