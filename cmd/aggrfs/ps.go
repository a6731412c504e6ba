package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// psOptions are what "aggrfs ps" was asked for.
type psOptions struct {
	all, full, json, noHeaders bool
	columns                    string
	sort                       string
	users                      []string
	pids                       []string
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
(the pid on the node), ppid, user, stat, time, rss, start, args.`,
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
	f.StringVarP(&o.columns, "format", "o", "", "these `COLUMNS`, such as node,pid,args")
	f.StringVar(&o.sort, "sort", "", "by these `COLUMNS`, such as -rss,pid")
	f.StringSliceVarP(&o.users, "user", "u", nil, "of these `USERS` only, by name or number")
	f.StringSliceVarP(&o.pids, "pid", "p", nil, "these `PIDS` only, global ones")
	f.BoolVar(&o.noHeaders, "no-headers", false, "without the line of column names")
	f.BoolVar(&o.json, "json", false, "an array of objects, with all columns or those of -o")
	return a.withLogLevel(cmd, "error")
}

// The columns of cluster/ps, in its order, and what they are called here.
var psColumns = []struct {
	name, title string
	number      bool
}{
	{"node", "NODE", false}, {"npid", "NPID", true}, {"pid", "PID", true}, {"ppid", "PPID", true}, {"user", "USER", false},
	{"stat", "S", false}, {"time", "TIME", true}, {"rss", "RSS", true}, {"start", "START", false}, {"args", "COMMAND", false},
}

// psNames are other names of columns, that ps has.
var psNames = map[string]string{
	"tgid": "pid", "uname": "user", "euser": "user", "s": "stat", "state": "stat", "cputime": "time", "rssize": "rss",
	"lstart": "start", "stime": "start", "cmd": "args", "command": "args", "comm": "args",
}

// psColumn finds a column.
func psColumn(name string) (int, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if other, ok := psNames[name]; ok {
		name = other
	}
	var known []string
	for i, c := range psColumns {
		if c.name == name {
			return i, nil
		}
		known = append(known, c.name)
	}
	return 0, fmt.Errorf("there is no column %q; there are %s", name, strings.Join(known, ", "))
}

// shown are the columns to show.
func (o *psOptions) shown() ([]int, error) {
	text := o.columns
	switch {
	case text != "":
	case o.json:
		text = "node,npid,pid,ppid,user,stat,time,rss,start,args"
	case o.full:
		text = "user,pid,ppid,node,npid,rss,stat,start,time,args"
	default:
		text = "node,pid,user,time,args"
	}
	var all []int
	for name := range strings.SplitSeq(text, ",") {
		i, err := psColumn(name)
		if err != nil {
			return nil, fmt.Errorf("-o: %w", err)
		}
		all = append(all, i)
	}
	return all, nil
}

// A psKey is a column to sort by.
type psKey struct {
	column int
	down   bool
}

func (o *psOptions) keys() (keys []psKey, err error) {
	if o.sort == "" {
		return nil, nil
	}
	for name := range strings.SplitSeq(o.sort, ",") {
		name = strings.TrimPrefix(name, "+")
		name, down := strings.CutPrefix(name, "-")
		i, err := psColumn(name)
		if err != nil {
			return nil, fmt.Errorf("--sort: %w", err)
		}
		keys = append(keys, psKey{i, down})
	}
	return keys, nil
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
		if who, err := a.users.Identity(ctx, user); err == nil {
			o.users[i] = a.users.UserName(who.UID)
		}
	}
	tree, err := src.openTable(ctx, a)
	if err != nil {
		return err
	}
	defer tree.Close()
	root, err := tree.root(ctx)
	if err != nil {
		return err
	}
	h, _, err := vfs.OpenPath(ctx, root, "cluster", "ps")
	if err != nil {
		return err
	}
	defer h.Close()
	rows, err := readPS(ctx, h, o)
	if err != nil {
		return err
	}
	sortPS(rows, keys)
	if o.json {
		err = writePSJSON(out, rows, columns)
	} else {
		err = writePS(out, rows, columns, !o.noHeaders)
	}
	if missing := a.missing(ctx, tree); missing != "" {
		fmt.Fprintln(os.Stderr, "aggrfs: "+missing)
	}
	return err
}

// readPS reads the lines of cluster/ps that are wanted.
func readPS(ctx context.Context, h vfs.Handle, o *psOptions) (rows [][]string, err error) {
	r := bufio.NewReaderSize(&handleReader{ctx: ctx, h: h}, 256<<10)
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
		for len(row) < len(psColumns)-1 {
			rest = bytes.TrimLeft(rest, " ")
			word, after, _ := bytes.Cut(rest, []byte(" "))
			row, rest = append(row, string(word)), after
		}
		row = append(row, string(rest))
		if (len(o.users) == 0 || slices.Contains(o.users, row[4])) && (len(o.pids) == 0 || slices.Contains(o.pids, row[2])) {
			rows = append(rows, row)
		}
	}
}

// handleReader reads a handle from its start to its end.
type handleReader struct {
	ctx context.Context
	h   vfs.Handle
	off int64
}

func (r *handleReader) Read(p []byte) (int, error) {
	n, err := r.h.ReadAt(r.ctx, p, r.off)
	r.off += int64(n)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// sortPS sorts rows, which otherwise come by node and pid.
func sortPS(rows [][]string, keys []psKey) {
	if len(keys) > 0 {
		slices.SortStableFunc(rows, func(x, y []string) int { return comparePS(x, y, keys) })
	}
}

func comparePS(x, y []string, keys []psKey) int {
	for _, k := range keys {
		c := strings.Compare(x[k.column], y[k.column])
		if psColumns[k.column].number {
			a, _ := strconv.ParseFloat(x[k.column], 64)
			b, _ := strconv.ParseFloat(y[k.column], 64)
			c = 0
			if a < b {
				c = -1
			} else if a > b {
				c = 1
			}
		}
		if k.down {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// writePS prints the columns, numbers to the right.
func writePS(out io.Writer, rows [][]string, columns []int, header bool) error {
	widths := make([]int, len(columns))
	for k, c := range columns {
		if header {
			widths[k] = len(psColumns[c].title)
		}
		for _, row := range rows {
			widths[k] = max(widths[k], utf8.RuneCountInString(row[c]))
		}
	}
	w := bufio.NewWriter(out)
	line := func(cell func(c int) string) {
		for k, c := range columns {
			text := cell(c)
			pad := strings.Repeat(" ", widths[k]-utf8.RuneCountInString(text))
			switch {
			case psColumns[c].number:
				text = pad + text
			case k < len(columns)-1:
				text += pad
			}
			if k > 0 {
				w.WriteByte(' ')
			}
			w.WriteString(text)
		}
		w.WriteByte('\n')
	}
	if header {
		line(func(c int) string { return psColumns[c].title })
	}
	for _, row := range rows {
		line(func(c int) string { return row[c] })
	}
	return w.Flush()
}

// writePSJSON prints an array of objects.
func writePSJSON(out io.Writer, rows [][]string, columns []int) error {
	w := bufio.NewWriter(out)
	w.WriteString("[")
	for i, row := range rows {
		object := make(map[string]any, len(columns))
		for _, c := range columns {
			object[psColumns[c].name] = row[c]
			if psColumns[c].number {
				object[psColumns[c].name] = json.Number(row[c])
			}
		}
		text, err := json.Marshal(object)
		if err != nil {
			return err
		}
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteByte('\n')
		w.Write(text)
	}
	w.WriteString("\n]\n")
	return w.Flush()
}
