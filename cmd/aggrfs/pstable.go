package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The columns there are, what cluster/ps calls them, and what they are called here.
var psColumns = []struct {
	name, file, title string
	number            bool
}{
	{"node", "NODE", "NODE", false}, {"npid", "PID", "NPID", true}, {"pid", "GPID", "PID", true}, {"ppid", "PPID", "PPID", true},
	{"user", "USER", "USER", false}, {"stat", "S", "S", false}, {"time", "CPU", "TIME", true}, {"rss", "RSS", "RSS", true},
	{"start", "START", "START", false}, {"args", "COMMAND", "COMMAND", false},
	{"job", "", "JOB", true}, // which cluster/jobs has
}

// Columns by their place in psColumns.
const (
	nodeColumn, npidColumn, pidColumn, userColumn = 0, 1, 2, 4
	jobColumn                                     = 10
)

// psNames are other names of columns, that ps has.
var psNames = map[string]string{
	"tgid": "pid", "uname": "user", "euser": "user", "s": "stat", "state": "stat", "cputime": "time", "rssize": "rss",
	"jobid": "job", "lstart": "start", "stime": "start", "cmd": "args", "command": "args", "comm": "args",
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
	if o.jobs && o.columns == "" {
		text = "job," + text
	}
	var all []int
	for name := range strings.SplitSeq(text, ",") {
		i, err := psColumn(name)
		if err != nil {
			return nil, usage("-o: %w", err)
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
			return nil, usage("--sort: %w", err)
		}
		keys = append(keys, psKey{i, down})
	}
	return keys, nil
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

// psObject is a row as an object.
func psObject(row []string, columns []int) map[string]any {
	object := make(map[string]any, len(columns))
	for _, c := range columns {
		object[psColumns[c].name] = row[c]
		if psColumns[c].number {
			object[psColumns[c].name] = jsonCell(row[c], true)
		}
	}
	return object
}
