package e2e

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A row is a line of a tool's table by column.
type row map[string]string

// parse reads a table with a header line; the last column takes the rest of the
// line.
func parse(t *testing.T, text string) []row {
	t.Helper()
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	header := strings.Fields(lines[0])
	var rows []row
	for _, line := range lines[1:] {
		r := row{}
		rest := line
		for i, name := range header {
			rest = strings.TrimLeft(rest, " ")
			if i == len(header)-1 {
				r[name] = rest
				break
			}
			field, after, ok := strings.Cut(rest, " ")
			if !ok && after == "" && field == "" {
				t.Fatalf("a row that is too short, or not one row: %q", line)
			}
			r[name], rest = field, after
		}
		rows = append(rows, r)
	}
	return rows
}

// gpid is the global pid of a native one on the node with that index.
func gpid(index int, pid string) string {
	n, err := strconv.Atoi(pid)
	if err != nil || n <= 0 {
		return pid
	}
	return strconv.Itoa(index*10_000_000 + n)
}

// pidColumns are mapped before tables are compared.
var pidColumns = []string{"PID", "PPID", "LWP", "SPID", "PGID", "SID", "TGID"}

// toGlobal maps the pids of a row of the node with that index.
func toGlobal(r row, index int) row {
	out := row{}
	for k, v := range r {
		out[k] = v
	}
	for _, c := range pidColumns {
		if v, ok := r[c]; ok {
			out[c] = gpid(index, v)
		}
	}
	return out
}

// settled keeps the rows of processes that are there the whole time and do
// nothing meanwhile: not the leaf, not the init that serves the test, not the
// tools themselves.
func settled(rows []row, command string) []row {
	var out []row
	for _, r := range rows {
		if c := r[command]; strings.Contains(c, "procsrv") || strings.Contains(c, "nodeinit") {
			continue
		}
		out = append(out, r)
	}
	return out
}

// compare compares tables row by row, whatever their order, in all columns but
// those named.
func compare(t *testing.T, got, want []row, key string, without ...string) {
	t.Helper()
	skip := map[string]bool{}
	for _, c := range without {
		skip[c] = true
	}
	flat := func(rows []row) []string {
		var out []string
		for _, r := range rows {
			var cols []string
			for k, v := range r {
				if !skip[k] {
					cols = append(cols, fmt.Sprintf("%s=%q", k, v))
				}
			}
			sort.Strings(cols)
			out = append(out, r[key]+": "+strings.Join(cols, " "))
		}
		sort.Strings(out)
		return out
	}
	if diff := cmp.Diff(flat(want), flat(got)); diff != "" {
		t.Errorf("differs from the nodes' own (-node +merged):\n%s", diff)
	}
	if len(got) == 0 {
		t.Error("nothing to compare")
	}
}
