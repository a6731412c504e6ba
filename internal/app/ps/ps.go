// Package ps shows the processes of a cluster as a table, in text or JSON: which rows are
// wanted, by user, pid, job or an expression, which columns, and in which order.
package ps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/app/gaps"
	"github.com/aggrfs/aggrfs/internal/app/where"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Options are what is asked for.
type Options struct {
	Full, JSON, NoHeaders, Jobs bool
	Letters                     *string  // ps(1)'s options without a dash, such as "aux"; nil is none
	Columns, Sort               string   // names of columns, with commas; "" is the usual ones
	Users                       []string // by name or number; none is all
	PIDs                        []string // global ones, or NODE:PID; none is all
	Terminals                   []string // by their names on the nodes, or NODE:NAME; none is all
	JobIDs                      []string // jobs of a batch system; none is all
	Where                       string   // an expression of package where; "" is all
	GroupBy                     string   // one of groupings: sums instead of rows; "" is rows
	NoKernel                    bool     // without the nodes' kernel threads
	Limit                       int      // of rows, the first in their order; 0 is none
}

// A query is what is asked for, once its form has been checked.
type query struct {
	Options
	columns []report.ProcessColumn
	keys    []key
	wanted  []gpid.ID     // PIDs, parsed
	owners  []string      // of the rows, as these have them; none is all
	where   *where.Filter // nil is all
}

func (o Options) parse() (q query, err error) {
	if o.Letters != nil {
		if *o.Letters == "" || strings.Trim(*o.Letters, "auxwef") != "" {
			return q, exit.Usagef("unknown option %q: of those that ps(1) has without a dash there are aux and its letters (a, u, x, w, e, f)", *o.Letters)
		}
		o.Full = o.Full || strings.ContainsAny(*o.Letters, "uf")
	}
	if o.Limit < 0 {
		return q, exit.Usagef("--limit: %d is no number of rows", o.Limit)
	}
	q.Options = o
	if err = o.checkGroups(); err != nil {
		return q, err
	}
	if q.columns, err = o.shown(); err != nil {
		return q, err
	}
	if q.keys, err = o.keys(); err != nil {
		return q, err
	}
	for _, pid := range o.PIDs {
		id, err := gpid.ParseID(pid)
		if err != nil {
			return q, exit.Usagef("-p: %w", err)
		}
		q.wanted = append(q.wanted, id)
	}
	if o.Where != "" {
		if q.where, err = where.Parse(o.Where); err != nil {
			return q, exit.Usagef("--where: %w", err)
		}
	}
	return q, nil
}

// Print prints the table. Its errors, but for those of exit.Failed and exit.Usage, are that the
// answer is not known.
func Print(ctx context.Context, src *client.Source, out io.Writer, o Options) error {
	if o.Columns == "help" {
		_, err := io.WriteString(out, Columns())
		return err
	}
	q, err := o.parse()
	if err != nil {
		return err
	}
	tree, err := src.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	users, err := usersAsked(ctx, src, tree, o.Users)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(q.wanted, func(id gpid.ID) bool { return id.Node != "" }) {
		nodes, err := tree.Nodes(ctx)
		if err != nil {
			return err
		}
		if err := src.CheckIDs(ctx, tree, "-p", q.wanted, nodes); err != nil {
			return err
		}
	}
	at := time.Now()
	rows, g, err := q.sweep(ctx, src.Env, tree, users)
	if err != nil {
		return err
	}
	total, err := fillIn(ctx, tree, &g, len(rows))
	if err != nil {
		return err
	}
	sortRows(rows, q.keys)
	var groups []*group
	switch {
	case o.GroupBy != "":
		groups = groupsOf(rows, o.GroupBy)
		if o.Limit > 0 {
			groups = groups[:min(len(groups), o.Limit)]
		}
	case o.Limit > 0:
		rows = rows[:min(len(rows), o.Limit)]
	}
	if o.GroupBy != "" && o.JSON {
		err = g.Answer(at).Write(out, len(groups), func(i int) map[string]any { return groups[i].object(o.GroupBy) })
	} else if o.GroupBy != "" {
		err = writeGroups(out, groups, o.GroupBy, !o.NoHeaders)
	} else if o.JSON {
		err = g.Answer(at).Write(out, len(rows), func(i int) map[string]any { return object(rows[i], q.columns) })
	} else {
		err = write(out, rows, q.columns, !o.NoHeaders, screenOf(out))
	}
	if err == nil && g.Blind {
		return gaps.NoNodes()
	}
	gaps.Tell(src.Env, g, total)
	hiding := g.Hiding(q.wanted)
	switch {
	case err != nil:
		return err
	case src.Strict && !g.None():
		return exit.NotComplete()
	case len(rows) == 0 && !hiding.None():
		return gaps.NothingKnown("whether there is such a process", hiding)
	case len(rows) == 0 && o.selects(): // ps fails, too
		return exit.Absentf("no such process")
	}
	return nil
}

// selects reports whether rows are left out of what the nodes of the source have, but for kernel threads.
func (o Options) selects() bool {
	return len(o.Users)+len(o.PIDs)+len(o.Terminals)+len(o.JobIDs) > 0 || o.Where != ""
}

// Select are the rows that o asks for, in the order of the table, with their jobs if o.Jobs is
// set, and what they lack. Its errors are those of Print.
func Select(ctx context.Context, src *client.Source, tree *client.Tree, o Options) ([]*report.Process, gaps.Gaps, error) {
	q, err := o.parse()
	if err != nil {
		return nil, gaps.Gaps{}, err
	}
	users, err := usersAsked(ctx, src, tree, o.Users)
	if err != nil {
		return nil, gaps.Gaps{}, err
	}
	return q.sweep(ctx, src.Env, tree, users)
}

// wants reports whether a row is of a process that -p names, if it names any.
func (q *query) wants(p *report.Process) bool {
	return len(q.wanted) == 0 || slices.ContainsFunc(q.wanted, func(id gpid.ID) bool {
		if id.Node != "" {
			return p.Node == string(id.Node) && p.PID == id.PID
		}
		return p.GPID == id.GPID
	})
}

// on reports whether a row is of a process on a terminal that -t names, if it names any.
func (q *query) on(p *report.Process) bool {
	return len(q.Terminals) == 0 || p.TTY != "" && slices.ContainsFunc(q.Terminals, func(name string) bool {
		if node, on, ok := strings.Cut(name, ":"); ok && node == p.Node {
			return on == p.TTY
		}
		return name == p.TTY
	})
}

// errNoPart is that cluster/ has no such table of processes.
var errNoPart = errors.New("no such table of processes")

// open opens a table of processes in cluster/.
func open(ctx context.Context, t *client.Tree, names ...string) (vfs.Handle, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Wait())
	defer cancel()
	root, err := t.Root(ctx)
	if err != nil {
		return nil, t.Explain(err)
	}
	h, _, err := vfs.OpenPath(ctx, root, append([]string{"cluster"}, names...)...)
	if errors.Is(err, syscall.ENOENT) {
		return nil, fmt.Errorf("%w: %w", errNoPart, t.Explain(err))
	}
	return h, t.Explain(err)
}

// handleReader reads a handle from its start to its end.
type handleReader struct {
	ctx  context.Context
	h    vfs.Handle
	wait time.Duration // for each answer
	off  int64
}

func (r *handleReader) Read(p []byte) (int, error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.wait)
	defer cancel()
	n, err := r.h.ReadAt(ctx, p, r.off)
	r.off += int64(n)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// readSize is how much of a table is read at once, in bytes.
const readSize = 256 << 10

// whileParsed reads from r in the background, so that the server makes the next rows while those
// before are parsed. end waits until nothing is read any more.
func whileParsed(r io.Reader) (table io.Reader, end func()) {
	out, in := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.CopyBuffer(struct{ io.Writer }{in}, r, make([]byte, readSize))
		in.CloseWithError(err)
	}()
	return out, func() { out.Close(); <-done }
}

// sweep reads the rows that are wanted and what they lack.
func (q *query) sweep(ctx context.Context, env *client.Env, t *client.Tree, users []user) (rows []*report.Process, g gaps.Gaps, err error) {
	progress := showProgress()
	defer progress.end()
	if len(users) > 0 && t.Remarks {
		rows, g, err = q.readUsers(ctx, t, users, progress)
	} else {
		if q.owners, err = ownersOf(ctx, env.Users, t, users); err != nil {
			return nil, g, err
		}
		rows, g, err = q.readPart(ctx, t, progress, "ps")
	}
	for _, table := range otherTables {
		if err == nil && q.wantsFrom(table.from) {
			err = table.add(q, ctx, t, rows, &g)
		}
	}
	if err == nil && q.late() {
		rows, err = q.lateRows(rows)
	}
	return rows, g, err
}

// late reports whether it takes columns of other tables to know which rows are wanted.
func (q *query) late() bool {
	return slices.ContainsFunc(otherTables, func(t otherTable) bool { return q.picksBy(t.from) })
}

// lateRows are the rows that are wanted, once they have all of their columns.
func (q *query) lateRows(rows []*report.Process) (wanted []*report.Process, err error) {
	for _, p := range rows {
		if len(q.JobIDs) > 0 && !slices.Contains(q.JobIDs, p.Job()) {
			continue
		}
		is := true
		if q.where != nil {
			if is, err = q.where.Match(p); err != nil {
				return nil, exit.Usagef("--where: %w", err)
			}
		}
		if is {
			wanted = append(wanted, p)
		}
	}
	return wanted, nil
}

// readPart reads the rows that are wanted of a table of processes in cluster/.
func (q *query) readPart(ctx context.Context, t *client.Tree, p *progress, names ...string) (rows []*report.Process, g gaps.Gaps, err error) {
	h, err := open(ctx, t, names...)
	if err != nil {
		return nil, g, err
	}
	defer h.Close()
	ctx, stop := context.WithCancel(ctx)
	table, end := whileParsed(&handleReader{ctx: ctx, h: h, wait: t.Wait()})
	defer end()
	defer stop()
	rows, g, err = q.read(table, p)
	return rows, g, t.Explain(err)
}

// fillIn asks for what rows and the remarks behind them do not tell: how many nodes there
// are, where some are missing, whether there are any, where there is no row, and of an
// older server, which makes no remarks, how they are.
func fillIn(ctx context.Context, t *client.Tree, g *gaps.Gaps, rows int) (total int, err error) {
	missing := len(g.About(report.Missing)) > 0
	if !missing && rows > 0 && t.Remarks {
		return 0, nil
	}
	nodes, err := t.Nodes(ctx)
	switch {
	case err == nil:
		g.Blind = len(nodes) == 0 && !missing
		if !t.Remarks {
			g.Join(gaps.OfNodes(nodes))
		}
		return len(nodes), nil
	case rows > 0 && t.Remarks:
		return 0, nil // then what is missing is said without
	}
	return 0, err
}

// wantsFrom reports whether a column is needed that comes with that table.
func (q *query) wantsFrom(from report.Source) bool {
	return slices.ContainsFunc(q.columns, func(c report.ProcessColumn) bool { return c.From == from }) || q.decidesBy(from) ||
		from == report.FromCgroups && q.GroupBy == "job"
}

// decidesBy reports whether it takes a column of that table to know which rows are wanted, or which
// come first.
func (q *query) decidesBy(from report.Source) bool {
	return q.picksBy(from) || slices.ContainsFunc(q.keys, func(k key) bool { return k.From == from })
}

// picksBy reports whether it takes a column of that table to know which rows are wanted.
func (q *query) picksBy(from report.Source) bool {
	return from == report.FromCgroups && len(q.JobIDs) > 0 || q.where != nil && slices.ContainsFunc(report.ProcessColumns(), func(c report.ProcessColumn) bool {
		return c.From == from && q.where.Uses(c.Name)
	})
}

// whole reports whether all rows are needed before it is known which come first: jobs and shares come
// with another table, and the tables of several users are put together.
func (q *query) whole() bool {
	return len(q.Users) > 1 || q.GroupBy != "" || slices.ContainsFunc(otherTables, func(t otherTable) bool { return q.decidesBy(t.from) })
}

// read reads the lines of cluster/ps that are wanted, and what it lacks.
func (q *query) read(table io.Reader, progress *progress) (rows []*report.Process, g gaps.Gaps, err error) {
	first := selection{keys: q.keys}
	kernels := make(kernels)
	var wrong error // with the expression
	if !q.whole() {
		first.limit = q.Limit
	}
	g.Remarks, err = report.ReadProcesses(table, func(p report.Process) {
		progress.saw(p.Node)
		if q.NoKernel && kernels.thread(&p) {
			return
		}
		if wrong == nil && (len(q.owners) == 0 || slices.Contains(q.owners, p.User)) && q.wants(&p) && q.on(&p) {
			is := true
			if q.where != nil && !q.late() {
				is, wrong = q.where.Match(&p)
			}
			if is {
				first.take(&p)
			}
		}
	})
	switch {
	case err != nil:
		return nil, gaps.Gaps{}, err
	case wrong != nil:
		return nil, gaps.Gaps{}, exit.Usagef("--where: %w", wrong)
	}
	return first.all(), g, nil
}

// kernels are the kthreadd of each node, by gpid: the parent of its other kernel threads.
type kernels map[int64]bool

// kthreadd is its pid on every node (rest_init in init/main.c).
const kthreadd = 2

// thread reports whether a row is of a kernel thread. Rows come by node and pid, so that
// kthreadd, which has no parent, no memory and no arguments, comes before the others. In a pid
// namespace, and to who does not see it, a node has none.
func (k kernels) thread(p *report.Process) bool {
	if p.PID == kthreadd && p.PPID == 0 && p.RSS == 0 && bytes.Equal(p.Command, []byte("[kthreadd]")) {
		k[int64(p.GPID)] = true
		return true
	}
	return k[p.PPID]
}
