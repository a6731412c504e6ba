package ps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/gaps"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

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
	if err == nil && q.wantsJob() {
		err = addJobs(ctx, t, rows, &g)
	}
	return rows, g, err
}

// readPart reads the rows that are wanted of a table of processes in cluster/.
func (q *query) readPart(ctx context.Context, t *client.Tree, p *progress, names ...string) (rows []*report.Process, g gaps.Gaps, err error) {
	h, err := open(ctx, t, names...)
	if err != nil {
		return nil, g, err
	}
	defer h.Close()
	rows, g, err = q.read(&handleReader{ctx: ctx, h: h, wait: t.Wait()}, p)
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

// wantsJob reports whether the jobs are needed.
func (q *query) wantsJob() bool {
	isJob := func(c report.ProcessColumn) bool { return c.Name == report.JobColumn }
	return slices.ContainsFunc(q.columns, isJob) || slices.ContainsFunc(q.keys, func(k key) bool { return isJob(k.ProcessColumn) })
}

// addJobs adds the job of each process.
func addJobs(ctx context.Context, t *client.Tree, rows []*report.Process, g *gaps.Gaps) error {
	text, err := t.Read(ctx, "cluster", "jobs")
	if err != nil {
		return err
	}
	jobs, remarks, err := report.ParseJobs(text)
	if err != nil {
		return err
	}
	g.Join(gaps.Gaps{Remarks: remarks})
	of := make(map[gpid.GPID]string, len(jobs))
	for _, j := range jobs {
		of[j.GPID] = j.Job
	}
	for _, p := range rows {
		p.Job = of[p.GPID]
	}
	return nil
}

// read reads the lines of cluster/ps that are wanted, and what it lacks.
func (q *query) read(table io.Reader, progress *progress) (rows []*report.Process, g gaps.Gaps, err error) {
	g.Remarks, err = report.ReadProcesses(table, func(p report.Process) {
		progress.saw(p.Node)
		if (len(q.owners) == 0 || slices.Contains(q.owners, p.User)) && q.wants(&p) {
			rows = append(rows, &p)
		}
	})
	if err != nil {
		return nil, gaps.Gaps{}, err
	}
	return rows, g, nil
}
