package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// psNames are other names of columns, that ps has.
var psNames = map[string]string{
	"tgid": "pid", "uname": "user", "euser": "user", "s": "stat", "state": "stat", "cputime": "time", "rssize": "rss",
	"jobid": "job", "lstart": "start", "stime": "start", "cmd": "args", "command": "args", "comm": "args",
}

// psColumn finds a column.
func psColumn(name string) (c report.ProcessColumn, err error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if other, ok := psNames[name]; ok {
		name = other
	}
	var known []string
	for _, c := range report.ProcessColumns() {
		if c.Name == name {
			return c, nil
		}
		known = append(known, c.Name)
	}
	return c, fmt.Errorf("there is no column %q; there are %s", name, strings.Join(known, ", "))
}

// shown are the columns to show.
func (o *psOptions) shown() (all []report.ProcessColumn, err error) {
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
	if o.jobs && o.columns == "" {
		text = "job," + text
	}
	for name := range strings.SplitSeq(text, ",") {
		c, err := psColumn(name)
		if err != nil {
			return nil, exit.Usagef("-o: %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// A psKey is a column to sort by.
type psKey struct {
	report.ProcessColumn
	down bool
}

func (o *psOptions) keys() (keys []psKey, err error) {
	if o.sort == "" {
		return nil, nil
	}
	for name := range strings.SplitSeq(o.sort, ",") {
		name = strings.TrimPrefix(name, "+")
		name, down := strings.CutPrefix(name, "-")
		c, err := psColumn(name)
		if err != nil {
			return nil, exit.Usagef("--sort: %w", err)
		}
		keys = append(keys, psKey{c, down})
	}
	return keys, nil
}

// sortPS sorts rows, which otherwise come by node and pid.
func sortPS(rows []*report.Process, keys []psKey) {
	if len(keys) == 0 {
		return
	}
	slices.SortStableFunc(rows, func(x, y *report.Process) int {
		for _, k := range keys {
			switch c := k.Compare(x, y); {
			case c == 0:
			case k.down:
				return -c
			default:
				return c
			}
		}
		return 0
	})
}

// writePS prints the columns, numbers to the right.
func writePS(out io.Writer, rows []*report.Process, columns []report.ProcessColumn, header bool) error {
	widths := make([]int, len(columns))
	var cell []byte
	for k, c := range columns {
		if header {
			widths[k] = len(c.Title)
		}
		for _, p := range rows {
			cell = c.Append(cell[:0], p)
			widths[k] = max(widths[k], utf8.RuneCount(cell))
		}
	}
	w := bufio.NewWriter(out)
	put := func(k int, cell []byte) {
		pad := widths[k] - utf8.RuneCount(cell)
		for ; columns[k].Number && pad > 0; pad-- {
			w.WriteByte(' ')
		}
		w.Write(cell)
		if k == len(columns)-1 {
			w.WriteByte('\n')
			return
		}
		for ; pad >= 0; pad-- {
			w.WriteByte(' ')
		}
	}
	for k, c := range columns {
		if header {
			put(k, []byte(c.Title))
		}
	}
	for _, p := range rows {
		for k, c := range columns {
			cell = c.Append(cell[:0], p)
			put(k, cell)
		}
	}
	return w.Flush()
}

// psObject is a row as an object.
func psObject(p *report.Process, columns []report.ProcessColumn) map[string]any {
	object := make(map[string]any, len(columns))
	for _, c := range columns {
		object[c.Name] = c.Cell(p)
	}
	return object
}
