package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A ProcessColumn is a column of a table of processes as commands show it.
type ProcessColumn struct {
	Name   string // what it is called, in JSON too
	Title  string // what stands above it
	Help   string // what it is, with its unit
	Number bool
	// From is the file of cluster/ that fills it.
	From Source
	// Append appends what a row has in it.
	Append func(b []byte, p *Process) []byte
	// Compare orders rows by it.
	Compare func(x, y *Process) int
}

// A Source is the file of cluster/ that a column of processes is of, by its name.
type Source string

// The sources beside cluster/ps, which is "".
const (
	FromCgroups Source = "cgroups"
	FromDetails Source = "details"
	FromRates   Source = "rates"
	FromMemory  Source = "mem" // of the nodes
)

// of is the column as one of that source.
func (c ProcessColumn) of(s Source) ProcessColumn {
	c.From = s
	return c
}

// detail is a number of the details, nil where they are not known.
func detail(number func(*Detail) *int64) func(*Process) *int64 {
	return func(p *Process) *int64 {
		if p.Detail == nil {
			return nil
		}
		return number(p.Detail)
	}
}

// appendKnown appends a number, "-" where it is not known.
func appendKnown(b []byte, n *int64) []byte {
	if n == nil {
		return append(b, '-')
	}
	return appendNumber(b, *n)
}

// compareKnown orders numbers; what is not known is the least.
func compareKnown(x, y *int64) int {
	switch {
	case x == nil && y == nil:
		return 0
	case x == nil:
		return -1
	case y == nil:
		return 1
	}
	return cmp.Compare(*x, *y)
}

// PercentColumn is the name of the column that is of cluster/rates.
const PercentColumn = "%cpu"

// ProcessColumns are all there are.
func ProcessColumns() []ProcessColumn {
	return []ProcessColumn{
		column("node", "NODE", "node that it runs on", false, func(p *Process) string { return p.Node }, appendWord, strings.Compare),
		column("gpid", "PID", "global pid, which no two processes of the cluster share", true, func(p *Process) int64 { return int64(p.GPID) }, appendNumber, cmp.Compare),
		column("npid", "NPID", "pid as its node knows it", true, func(p *Process) int64 { return int64(p.PID) }, appendNumber, cmp.Compare),
		column("ppid", "PPID", "parent's global pid; 0 is none, or one that is not shown", true, func(p *Process) int64 { return p.PPID }, appendNumber, cmp.Compare),
		column("user", "USER", "owner, by name or number", false, func(p *Process) string { return p.User }, appendWord, strings.Compare),
		column("stat", "S", "state, a letter as ps(1) has it", false, func(p *Process) byte { return p.State }, func(b []byte, s byte) []byte { return append(b, s) }, cmp.Compare),
		column("time", "TIME", "processor time since its start, in seconds", true, func(p *Process) Centiseconds { return p.CPU }, func(b []byte, c Centiseconds) []byte { return appendSeconds(b, c, 0) }, cmp.Compare),
		column(PercentColumn, "%CPU", "share of one processor that it uses; the title is %CPU* where that is since its start", true, func(p *Process) *float64 { return p.Percent }, appendPercent, comparePercents).of(FromRates),
		column("rss", "RSS", "resident memory, in KiB", true, func(p *Process) int64 { return p.RSS }, appendNumber, cmp.Compare),
		column(StartColumn, "START", "when it began: in UTC, at a terminal in local time", false, func(p *Process) time.Time { return p.Start }, appendTime, time.Time.Compare),
		column("elapsed", "ELAPSED", "time since then, [[days-]hours:]minutes:seconds", true, func(p *Process) time.Duration { return p.Elapsed() }, appendElapsed, cmp.Compare),
		column("etimes", "ELAPSED", "the same in seconds", true, func(p *Process) time.Duration { return p.Elapsed() }, func(b []byte, d time.Duration) []byte { return appendNumber(b, int64(d/time.Second)) }, cmp.Compare),
		column("tty", "TTY", "controlling terminal, by its name on the node", false, func(p *Process) string { return p.TTY }, appendWord, strings.Compare),
		column("args", "COMMAND", "arguments, or its name in brackets where it has none", false, func(p *Process) []byte { return p.Command }, appendCommand, bytes.Compare),
		column("%mem", "%MEM", "resident memory, in percent of its node's", true, (*Process).MemoryPercent, appendPercent, comparePercents).of(FromMemory),
		column("vsz", "VSZ", "virtual memory, in KiB", true, detail(func(d *Detail) *int64 { return &d.VSZ }), appendKnown, compareKnown).of(FromDetails),
		column("nlwp", "NLWP", "number of threads", true, detail(func(d *Detail) *int64 { return &d.Threads }), appendKnown, compareKnown).of(FromDetails),
		column("pri", "PRI", "priority: larger is sooner", true, detail(func(d *Detail) *int64 { return &d.Priority }), appendKnown, compareKnown).of(FromDetails),
		column("ni", "NI", "nice value; - for realtime policies", true, detail(func(d *Detail) *int64 { return d.Nice }), appendKnown, compareKnown).of(FromDetails),
		column("job", "JOB", "job of Slurm, PBS, Torque or LSF, by its cgroup", true, (*Process).Job, appendWord, compareJobs).of(FromCgroups),
		column("step", "STEP", "step of the job: 0, batch, extern, interactive", false, func(p *Process) string { return p.place().Step }, appendWord, strings.Compare).of(FromCgroups),
		column("unit", "UNIT", "unit of systemd", false, func(p *Process) string { return p.place().Unit }, appendWord, strings.Compare).of(FromCgroups),
		column("container", "CONTAINER", "container, by its id or name", false, func(p *Process) string { return p.place().Container }, appendWord, strings.Compare).of(FromCgroups),
		column("pod", "POD", "pod of Kubernetes, by its uid", false, func(p *Process) string { return p.place().Pod }, appendWord, strings.Compare).of(FromCgroups),
	}
}

// StartColumn is the name of the column that has a time of day.
const StartColumn = "start"

// Elapsed is how long ago the process began. It is never negative: the clock by which it began
// may be ahead of this machine's.
func (p *Process) Elapsed() time.Duration { return max(time.Since(p.Start), 0) }

// appendElapsed appends a time as etime of ps(1) has it.
func appendElapsed(b []byte, d time.Duration) []byte {
	s := int64(d / time.Second)
	if days := s / (24 * 3600); days > 0 {
		b = append(strconv.AppendInt(b, days, 10), '-')
	}
	if s >= 3600 {
		b = fmt.Appendf(b, "%02d:", s/3600%24)
	}
	return fmt.Appendf(b, "%02d:%02d", s/60%60, s%60)
}

// column is the column of what value is, of any type.
func column[T any](name, title, help string, number bool, value func(*Process) T, appendCell func([]byte, T) []byte, compare func(x, y T) int) ProcessColumn {
	return ProcessColumn{
		Name: name, Title: title, Help: help, Number: number,
		Append:  func(b []byte, p *Process) []byte { return appendCell(b, value(p)) },
		Compare: func(x, y *Process) int { return compare(value(x), value(y)) },
	}
}

func appendWord(b []byte, s string) []byte  { return appendLeft(b, s, 0) }
func appendNumber(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

// appendPercent appends a share in percent, "-" where it is not known.
func appendPercent(b []byte, p *float64) []byte {
	if p == nil {
		return append(b, '-')
	}
	return strconv.AppendFloat(b, *p, 'f', 1, 64)
}

// comparePercents orders shares; what is not known is the least.
func comparePercents(x, y *float64) int {
	a, b := -1.0, -1.0
	if x != nil {
		a = *x
	}
	if y != nil {
		b = *y
	}
	return cmp.Compare(a, b)
}

// compareJobs orders jobs by their numbers. Those that are no numbers are all the same.
func compareJobs(x, y string) int {
	a, _ := strconv.ParseFloat(x, 64)
	b, _ := strconv.ParseFloat(y, 64)
	return cmp.Compare(a, b)
}

// Cell is what a row has in the column, for JSON. A job may be no number.
func (c *ProcessColumn) Cell(p *Process) any {
	cell := string(c.Append(nil, p))
	switch {
	case !c.Number:
		return cell
	case cell == "-":
		return nil
	}
	if _, err := strconv.ParseFloat(cell, 64); err == nil && json.Valid([]byte(cell)) {
		return json.Number(cell)
	}
	return cell
}
