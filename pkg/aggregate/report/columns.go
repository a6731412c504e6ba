package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// A ProcessColumn is a column of a table of processes as commands show it.
type ProcessColumn struct {
	Name   string // what it is called, in JSON too
	Title  string // what stands above it
	Number bool
	// Append appends what a row has in it.
	Append func(b []byte, p *Process) []byte
	// Compare orders rows by it.
	Compare func(x, y *Process) int
}

// JobColumn is the name of the column that is of cluster/cgroups.
const JobColumn = "job"

// PercentColumn is the name of the column that is of cluster/rates.
const PercentColumn = "%cpu"

// ProcessColumns are all there are.
func ProcessColumns() []ProcessColumn {
	return []ProcessColumn{
		column("node", "NODE", false, func(p *Process) string { return p.Node }, appendWord, strings.Compare),
		column("npid", "NPID", true, func(p *Process) int64 { return int64(p.PID) }, appendNumber, cmp.Compare),
		column("pid", "PID", true, func(p *Process) int64 { return int64(p.GPID) }, appendNumber, cmp.Compare),
		column("ppid", "PPID", true, func(p *Process) int64 { return p.PPID }, appendNumber, cmp.Compare),
		column("user", "USER", false, func(p *Process) string { return p.User }, appendWord, strings.Compare),
		column("stat", "S", false, func(p *Process) byte { return p.State }, func(b []byte, s byte) []byte { return append(b, s) }, cmp.Compare),
		column("time", "TIME", true, func(p *Process) Centiseconds { return p.CPU }, func(b []byte, c Centiseconds) []byte { return appendSeconds(b, c, 0) }, cmp.Compare),
		column(PercentColumn, "%CPU", true, func(p *Process) *float64 { return p.Percent }, appendPercent, comparePercents),
		column("rss", "RSS", true, func(p *Process) int64 { return p.RSS }, appendNumber, cmp.Compare),
		column("start", "START", false, func(p *Process) time.Time { return p.Start }, appendTime, time.Time.Compare),
		column("tty", "TTY", false, func(p *Process) string { return p.TTY }, appendWord, strings.Compare),
		column("args", "COMMAND", false, func(p *Process) []byte { return p.Command }, appendCommand, bytes.Compare),
		column(JobColumn, "JOB", true, func(p *Process) string { return p.Job }, appendWord, compareJobs),
	}
}

// column is the column of what value is, of any type.
func column[T any](name, title string, number bool, value func(*Process) T, appendCell func([]byte, T) []byte, compare func(x, y T) int) ProcessColumn {
	return ProcessColumn{
		Name: name, Title: title, Number: number,
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
