package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// psOptions are what "aggrfs ps" was asked for.
type psOptions struct {
	all, full, json, noHeaders, jobs bool
	columns                          string
	sort                             string
	users                            []string
	pids                             []string
	wanted                           []aggregate.ID // pids, parsed
}

// parsePIDs reads what -p was given.
func parsePIDs(pids []string) (ids []aggregate.ID, err error) {
	for _, pid := range pids {
		id, err := aggregate.ParseID(pid)
		if err != nil {
			return nil, fmt.Errorf("-p: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// wants tells whether a row is of a process that -p names, if it names any.
func (o *psOptions) wants(row []string) bool {
	return len(o.wanted) == 0 || slices.ContainsFunc(o.wanted, func(id aggregate.ID) bool {
		if id.Node != "" {
			return row[nodeColumn] == string(id.Node) && row[npidColumn] == strconv.Itoa(int(id.PID))
		}
		return row[pidColumn] == id.GPID.String()
	})
}

func (a *app) psCommand() *cobra.Command {
	var src source
	var o psOptions
	cmd := &cobra.Command{
		Use:   "ps [flags] [aux]",
		Short: "Show the processes of the cluster, a line each",
		Long: `Show the processes of the cluster that you may see, in one read of cluster/ps: much
faster than ps on the tree, and with the node of each. All are shown unless -u or -p
say which. PID and PPID are global pids; TIME is processor time, RSS in KiB, START in
UTC. "aux", -e, -f and -A may be given as to ps.

Columns for -o and --sort (with "-" in front for the largest first): node, pid, npid
(the pid on the node), ppid, user, stat, time, rss, start, args, job (of Slurm, PBS,
Torque or LSF, by the process's cgroup; it takes as long again).`,
		Example: "  aggrfs ps -ef\n  aggrfs ps aux --sort -rss\n  aggrfs ps -u ann --nodes 'n[001-032]'\n  aggrfs ps -o node,pid,args -p 120003456",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if args[0] == "" || strings.Trim(args[0], "auxwef") != "" {
					return fmt.Errorf("what is %q? Of ps's options without a dash there are aux and its letters (a, u, x, w, e, f)", args[0])
				}
				o.full = o.full || strings.ContainsAny(args[0], "uf")
			}
			return a.ps(cmd.Context(), &src, &o, cmd.OutOrStdout())
		},
	}
	src.addFlags(cmd)
	f := cmd.Flags()
	f.BoolVarP(&o.all, "all", "e", false, "all processes, as without it")
	f.BoolP("every", "A", false, "the same")
	f.BoolVarP(&o.full, "full", "f", false, "more columns")
	f.BoolVarP(&o.jobs, "jobs", "j", false, "with the column job")
	f.StringVarP(&o.columns, "format", "o", "", "these `COLUMNS`, such as node,pid,args")
	f.StringVar(&o.sort, "sort", "", "by these `COLUMNS`, such as -rss,pid")
	f.StringSliceVarP(&o.users, "user", "u", nil, "of these `USERS` only, by name or number")
	f.StringSliceVarP(&o.pids, "pid", "p", nil, "these `PIDS` only, global ones or NODE:PID")
	f.BoolVar(&o.noHeaders, "no-headers", false, "without the line of column names")
	f.BoolVar(&o.json, "json", false, "an array of objects, with all columns or those of -o")
	return a.withLogLevel(cmd, "error")
}

// ps prints the table.
func (a *app) ps(ctx context.Context, src *source, o *psOptions, out io.Writer) error {
	columns, err := o.shown()
	if err != nil {
		return err
	}
	keys, err := o.keys()
	if err != nil {
		return err
	}
	for i, user := range o.users { // cluster/ps has names where there are any
		who, err := a.users.Identity(ctx, user)
		if err != nil {
			return fmt.Errorf("-u: %w", err)
		}
		o.users[i] = a.users.UserName(who.UID)
	}
	if o.wanted, err = parsePIDs(o.pids); err != nil {
		return err
	}
	tree, err := src.openTable(ctx, a)
	if err != nil {
		return err
	}
	defer tree.Close()
	h, err := openPS(ctx, tree)
	if err != nil {
		return err
	}
	defer h.Close()
	progress := showProgress()
	rows, err := readPS(&handleReader{ctx: ctx, h: h, wait: tree.wait()}, o, progress)
	if err == nil && wantsJob(columns, keys) {
		err = addJobs(ctx, tree, rows)
	}
	progress.end()
	if err != nil {
		return err
	}
	sortPS(rows, keys)
	if o.json {
		err = writePSJSON(out, rows, columns)
	} else {
		err = writePS(out, rows, columns, !o.noHeaders)
	}
	if err == nil && len(rows) == 0 && len(o.users)+len(o.pids) > 0 {
		err = errors.New("no such process") // ps fails, too
	}
	if missing := a.missing(ctx, tree); missing != "" {
		fmt.Fprintln(os.Stderr, "aggrfs: "+missing)
	}
	return err
}

// wantsJob tells whether the jobs are needed.
func wantsJob(columns []int, keys []psKey) bool {
	return slices.Contains(columns, jobColumn) || slices.ContainsFunc(keys, func(k psKey) bool { return k.column == jobColumn })
}

// addJobs adds the job of each process, or "-".
func addJobs(ctx context.Context, t *tree, rows [][]string) error {
	table, err := readTable(ctx, t, "cluster", "jobs")
	if err != nil {
		return err
	}
	jobs := make(map[string]string)
	for line := range bytes.Lines(table) {
		if f := strings.Fields(string(line)); len(f) == 2 {
			jobs[f[0]] = f[1]
		}
	}
	for i, row := range rows {
		job := jobs[row[pidColumn]]
		if job == "" {
			job = "-"
		}
		rows[i] = append(row, job)
	}
	return nil
}

// openPS opens cluster/ps.
func openPS(ctx context.Context, t *tree) (vfs.Handle, error) {
	ctx, cancel := context.WithTimeout(ctx, t.wait())
	defer cancel()
	root, err := t.root(ctx)
	if err != nil {
		return nil, err
	}
	h, _, err := vfs.OpenPath(ctx, root, "cluster", "ps")
	return h, err
}

// readPS reads the lines of cluster/ps that are wanted.
func readPS(table io.Reader, o *psOptions, p *progress) (rows [][]string, err error) {
	r := bufio.NewReaderSize(table, 256<<10)
	for header := true; ; header = false {
		line, err := r.ReadSlice('\n')
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		if header {
			continue
		}
		row := make([]string, 0, len(psColumns))
		rest := bytes.TrimRight(line, "\n")
		for len(row) < psFileColumns-1 {
			rest = bytes.TrimLeft(rest, " ")
			word, after, _ := bytes.Cut(rest, []byte(" "))
			row, rest = append(row, string(word)), after
		}
		row = append(row, string(rest))
		p.saw(row[nodeColumn])
		if (len(o.users) == 0 || slices.Contains(o.users, row[userColumn])) && o.wants(row) {
			rows = append(rows, row)
		}
	}
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
