package ps

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// otherNames are other names of columns, that ps has.
var otherNames = map[string]string{
	"pid": "gpid", "tgid": "gpid", "uname": "user", "euser": "user", "s": "stat", "state": "stat", "cputime": "time", "rssize": "rss",
	"jobid": "job", "etime": "elapsed", "vsize": "vsz", "thcount": "nlwp", "nice": "ni", "pmem": "%mem", "pcpu": "%cpu", "lstart": "start", "stime": "start", "cmd": "args", "command": "args", "comm": "args",
}

// columnOf finds a column.
func columnOf(name string) (c report.ProcessColumn, err error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if other, ok := otherNames[name]; ok {
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

// Columns says which columns there are, a line each.
func Columns() string {
	var b strings.Builder
	for _, c := range report.ProcessColumns() {
		name := c.Name
		if name == "gpid" {
			name = "gpid, pid"
		}
		fmt.Fprintf(&b, "%-10s %s\n", name, c.Help)
	}
	return b.String()
}

// shown are the columns to show.
func (o *Options) shown() (all []report.ProcessColumn, err error) {
	text := o.Columns
	switch {
	case text != "":
	case o.JSON:
		text = "node,npid,gpid,ppid,user,stat,time,rss,start,args"
	case o.Full:
		text = "user,pid,ppid,node,npid,rss,stat,start,time,args"
	default:
		text = "node,pid,user,time,args"
	}
	if o.Jobs && o.Columns == "" {
		text = "job," + text
	}
	for name := range strings.SplitSeq(text, ",") {
		c, err := columnOf(name)
		if err != nil {
			return nil, exit.Usagef("-o: %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// A key is a column to sort by.
type key struct {
	report.ProcessColumn
	down bool
}

func (o *Options) keys() (keys []key, err error) {
	if o.Sort == "" {
		return nil, nil
	}
	for name := range strings.SplitSeq(o.Sort, ",") {
		name = strings.TrimPrefix(name, "+")
		name, down := strings.CutPrefix(name, "-")
		c, err := columnOf(name)
		if err != nil {
			return nil, exit.Usagef("--sort: %w", err)
		}
		keys = append(keys, key{c, down})
	}
	return keys, nil
}

// sortRows sorts rows, which otherwise come by node and pid.
func sortRows(rows []*report.Process, keys []key) {
	if len(keys) > 0 {
		slices.SortStableFunc(rows, func(x, y *report.Process) int { return compare(x, y, keys) })
	}
}

// compare compares two rows by those columns.
func compare(x, y *report.Process, keys []key) int {
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
}

// batch is how many rows are formatted at once by one CPU.
const batch = 4096

// eachBatch calls f for all rows, a batch at a time on each CPU, and next with what came of
// them, in their order.
func eachBatch[T any](rows []*report.Process, f func([]*report.Process) T, next func(T) error) error {
	results := make([]T, runtime.GOMAXPROCS(0))
	for len(rows) > 0 {
		var all sync.WaitGroup
		n := min(len(results), (len(rows)+batch-1)/batch)
		for i := range n {
			some := rows[:min(batch, len(rows))]
			rows = rows[len(some):]
			all.Go(func() { results[i] = f(some) })
		}
		all.Wait()
		for _, r := range results[:n] {
			if err := next(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// write prints the columns, numbers to the right, in lines that are cut at the edge of the screen.
func write(out io.Writer, rows []*report.Process, columns []report.ProcessColumn, header bool, s screen) error {
	columns = s.columns(columns)
	widths := make([]int, len(columns))
	for k, c := range columns {
		if header {
			widths[k] = len(c.Title)
		}
	}
	_ = eachBatch(rows, func(some []*report.Process) []int {
		widest := make([]int, len(columns))
		var cell []byte
		for _, p := range some {
			for k, c := range columns {
				cell = c.Append(cell[:0], p)
				widest[k] = max(widest[k], utf8.RuneCount(cell))
			}
		}
		return widest
	}, func(widest []int) error {
		for k, width := range widest {
			widths[k] = max(widths[k], width)
		}
		return nil
	})
	put := func(b []byte, k int, cell []byte) []byte {
		pad := widths[k] - utf8.RuneCount(cell)
		for ; columns[k].Number && pad > 0; pad-- {
			b = append(b, ' ')
		}
		b = append(b, cell...)
		if k == len(columns)-1 {
			return append(b, '\n')
		}
		for ; pad >= 0; pad-- {
			b = append(b, ' ')
		}
		return b
	}
	if header {
		var line []byte
		for k, c := range columns {
			line = put(line, k, []byte(c.Title))
		}
		line = s.cut(line, 0)
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return eachBatch(rows, func(some []*report.Process) (text []byte) {
		var cell []byte
		for _, p := range some {
			start := len(text)
			for k, c := range columns {
				cell = c.Append(cell[:0], p)
				text = put(text, k, cell)
			}
			text = s.cut(text, start)
		}
		return text
	}, func(text []byte) error {
		_, err := out.Write(text)
		return err
	})
}

// object is a row as an object.
func object(p *report.Process, columns []report.ProcessColumn) map[string]any {
	all := make(map[string]any, len(columns))
	for _, c := range columns {
		all[c.Name] = c.Cell(p)
	}
	return all
}
