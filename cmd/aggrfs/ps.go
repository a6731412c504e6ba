package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// psOptions are what "aggrfs ps" was asked for.
type psOptions struct {
	all, full, json, noHeaders, jobs bool
	columns                          string
	sort                             string
	users                            []string
	owners                           []string // of the rows, as these have them; none is all
	pids                             []string
	wanted                           []gpid.ID // pids, parsed
}

// parsePIDs reads what -p was given.
func parsePIDs(pids []string) (ids []gpid.ID, err error) {
	for _, pid := range pids {
		id, err := gpid.ParseID(pid)
		if err != nil {
			return nil, exit.Usagef("-p: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// wants reports whether a row is of a process that -p names, if it names any.
func (o *psOptions) wants(p *report.Process) bool {
	return len(o.wanted) == 0 || slices.ContainsFunc(o.wanted, func(id gpid.ID) bool {
		if id.Node != "" {
			return p.Node == string(id.Node) && p.PID == id.PID
		}
		return p.GPID == id.GPID
	})
}

func (a *app) psCommand() *cobra.Command {
	src := source{Env: &a.env}
	var o psOptions
	cmd := &cobra.Command{
		Use:   "ps [flags] [aux]",
		Short: "Show the processes of the cluster, a line each",
		Long: `Show the processes of the cluster that you may see, each with its node. One file of the
tree, cluster/ps, has them all, so that this is much faster than ps(1) on the tree. All are
shown unless -u or -p select some. "aux", -e, -f and -A are taken as ps(1) takes them.

PID and PPID are global pids, which no two processes of the cluster share; TIME is
processor time in seconds, RSS is in KiB, and START is in UTC.

Columns for -o and --sort (with "-" in front for the largest first): node, pid, npid (the
pid on the node), ppid, user, stat, time, rss, start, args, and job (of Slurm, PBS, Torque
or LSF, found by the process's cgroup; it takes as long again).

Nodes whose processes are missing or old are named on standard error and in the JSON. The
exit status is 0; 1 if -u or -p were given and there is no such process; 2 for a wrong
command line; and 3 if the answer is not known: no server, no row while processes of a node
are missing or old, no nodes in your view, or with --strict any node like that.`,
		Example: "  aggrfs ps -ef\n  aggrfs ps aux --sort -rss\n  aggrfs ps -u ann --nodes 'n[001-032]'\n  aggrfs ps -o node,pid,args -p 120003456",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exit.Usagef("ps takes one argument, such as aux, and there are %d: %s", len(args), strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if args[0] == "" || strings.Trim(args[0], "auxwef") != "" {
					return exit.Usagef("unknown option %q: of those that ps(1) has without a dash there are aux and its letters (a, u, x, w, e, f)", args[0])
				}
				o.full = o.full || strings.ContainsAny(args[0], "uf")
			}
			return exit.NotKnown(a.ps(cmd.Context(), &src, &o, cmd.OutOrStdout()))
		},
	}
	sourceFlags(cmd, &src)
	tlsFlags(cmd, &src)
	strictFlag(cmd, &src, "fail with status 3 if processes of any node are missing or old")
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all", "e", false, "show all processes, which is the default")
	f.BoolP("every", "A", false, "the same as -e")
	f.BoolVarP(&o.full, "full", "f", false, "show more columns")
	f.BoolVarP(&o.jobs, "jobs", "j", false, "show the column job, too")
	f.StringVarP(&o.columns, "format", "o", "", "show these `COLUMNS`, such as node,pid,args")
	f.StringVar(&o.sort, "sort", "", "sort by these `COLUMNS`, such as -rss,pid")
	f.StringSliceVarP(&o.users, "user", "u", nil, "show only processes of these `USERS`, by name or number")
	f.StringSliceVarP(&o.pids, "pid", "p", nil, "show only these `PIDS`, each a global pid or NODE:PID")
	f.BoolVar(&o.noHeaders, "no-headers", false, "leave out the line of column names")
	f.BoolVar(&o.json, "json", false, "print JSON, with all columns or those of -o; see docs/commands.md")
	return a.withLogLevel(cmd, "error")
}

// errNoPart is that cluster/ has no such table of processes.
var errNoPart = errors.New("no such table of processes")

// openPS opens a table of processes in cluster/.
func openPS(ctx context.Context, t *tree, names ...string) (vfs.Handle, error) {
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
