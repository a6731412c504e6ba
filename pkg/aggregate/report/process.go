package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
)

// A Process is a row of cluster/ps: a process of the view, by node and pid. Its columns are
//
//	NODE     the node's name
//	PID      as its node's kernel knows it
//	GPID     in the merged tree
//	PPID     the parent's gpid
//	USER     the owner's name, or number
//	S        state, as in the third field of stat in proc_pid_stat(5)
//	CPU      user and system time in seconds
//	RSS      resident memory in KiB
//	TTY      its controlling terminal, by the name that it has on the node; "-" is none
//	START    when it began, UTC, as RFC 3339 has it
//	COMMAND  its arguments, or its name in brackets where it has none
type Process struct {
	Node  string       `column:"NODE,required"`
	PID   gpid.PID     `column:"PID,required"`
	GPID  gpid.GPID    `column:"GPID,required"`
	PPID  int64        `column:"PPID,required"` // 0 is none, or one that is not shown
	User  string       `column:"USER,required"`
	State byte         `column:"S,required"`
	CPU   Centiseconds `column:"CPU,required"`
	RSS   int64        `column:"RSS,required"`
	TTY   string       `column:"TTY"`
	Start time.Time    `column:"START,required"`
	// Command may have NULs between arguments, which become blanks when it is written.
	Command []byte   `column:"COMMAND,required"`
	Percent *float64 // of one processor, over the interval of cluster/rates; nil is not known
	Place   *Job     // what cluster/cgroups has of it; nil is nothing
	Detail  *Detail  // what cluster/details has of it; nil is not known
	Memory  int64    // of its node, KiB; 0 is not known
}

// Job is the job of a batch system that it is part of; "" is none.
func (p *Process) Job() string { return p.place().Job }

// noPlace is that of a process that is part of nothing.
var noPlace Job

func (p *Process) place() *Job {
	if p.Place == nil {
		return &noPlace
	}
	return p.Place
}

// MemoryPercent is its resident memory in percent of its node's, in tenths without the rest, as
// ps(1) has it; nil is not known.
func (p *Process) MemoryPercent() *float64 {
	if p.Memory <= 0 {
		return nil
	}
	return new(math.Floor(float64(p.RSS)*1000/float64(p.Memory)) / 10)
}

// Centiseconds are hundredths of a second.
type Centiseconds int64

// maxSeconds bounds a time that is read: 30,000 years.
const maxSeconds = 1e12

// UnmarshalText implements encoding.TextUnmarshaler: text is in seconds.
func (c *Centiseconds) UnmarshalText(text []byte) error {
	seconds, err := strconv.ParseFloat(string(text), 64)
	if err == nil && !(seconds >= 0 && seconds <= maxSeconds) {
		err = strconv.ErrRange
	}
	*c = Centiseconds(math.Round(seconds * 100))
	return err
}

// Widths of the columns of cluster/ps. That of the node is as wide as most need.
const (
	pidWidth   = 7
	gpidWidth  = 10
	userWidth  = 8
	cpuWidth   = 10
	rssWidth   = 10
	startWidth = 20
	ttyWidth   = 6
)

// NodeWidth is how wide the column of nodes is, at least.
const NodeWidth = len("NODE")

// AppendProcessHeader writes the first line of cluster/ps.
func AppendProcessHeader(b []byte, nodeWidth int) []byte {
	return fmt.Appendf(b, "%-*s %*s %*s %*s %-*s S %*s %*s %-*s %-*s COMMAND\n", nodeWidth, "NODE", pidWidth, "PID", gpidWidth, "GPID", gpidWidth, "PPID",
		userWidth, "USER", cpuWidth, "CPU", rssWidth, "RSS", ttyWidth, "TTY", startWidth, "START")
}

// AppendText writes the row as a line of cluster/ps. There are very many: it is put together by
// hand.
func (p *Process) AppendText(b []byte, nodeWidth int) []byte {
	b = appendLeft(b, p.Node, nodeWidth)
	b = appendRight(append(b, ' '), int64(p.PID), pidWidth)
	b = appendRight(append(b, ' '), int64(p.GPID), gpidWidth)
	b = appendRight(append(b, ' '), p.PPID, gpidWidth)
	b = appendLeft(append(b, ' '), p.User, userWidth)
	b = append(b, ' ', p.State, ' ')
	b = appendSeconds(b, p.CPU, cpuWidth)
	b = appendRight(append(b, ' '), p.RSS, rssWidth)
	b = appendLeft(append(b, ' '), p.TTY, ttyWidth)
	b = appendTime(append(b, ' '), p.Start)
	return append(appendCommand(append(b, ' '), p.Command), '\n')
}

// HideParent makes the parent in a line that AppendText has written 0, unless it is shown.
func HideParent(line []byte, nodeWidth int, shown func(gpid.GPID) bool) {
	at := nodeWidth + 1 + pidWidth + 1 + gpidWidth + 1
	if len(line) < at+gpidWidth {
		return
	}
	field := line[at : at+gpidWidth]
	g, err := parseNumber[gpid.GPID](string(bytes.TrimLeft(field, " ")))
	if err != nil || g <= 0 || shown(g) {
		return
	}
	for i := range field {
		field[i] = ' '
	}
	field[gpidWidth-1] = '0'
}

// ReadProcesses reads cluster/ps, or a table like it, and what it lacks. Each is given every
// row while there is more to come.
func ReadProcesses(table io.Reader, each func(Process)) (remarks []Remark, err error) {
	return read("cluster/ps", table, each)
}

// appendLeft appends s as one word, and blanks to that width.
func appendLeft(b []byte, s string, width int) []byte {
	for i := 0; i < len(s) || i == 0; i++ {
		if s == "" || s[i] == ' ' || !plainByte[s[i]] {
			s = plaintext.Cell(s)
			break
		}
	}
	b = append(b, s...)
	for range width - len(s) {
		b = append(b, ' ')
	}
	return b
}

// appendRight appends n behind blanks, to that width, which is at most 20.
func appendRight(b []byte, n int64, width int) []byte {
	cell := [20]byte([]byte("                    "))
	if n < 0 {
		return fmt.Appendf(b, "%*d", width, n)
	}
	at := len(cell) - 1
	for ; n >= 10; at-- {
		cell[at] = byte('0' + n%10)
		n /= 10
	}
	cell[at] = byte('0' + n)
	return append(b, cell[min(at, len(cell)-width):]...)
}

// appendSeconds appends n as seconds, behind blanks to that width.
func appendSeconds(b []byte, n Centiseconds, width int) []byte {
	b = appendRight(b, int64(n/100), width-len(".00"))
	return append(b, '.', byte('0'+n%100/10), byte('0'+n%10))
}

func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, time.RFC3339) }

// appendCommand appends arguments with blanks between them, escaped as plaintext has
// it.
func appendCommand(b, args []byte) []byte {
	start := len(b)
	b = append(b, args...)
	for i, c := range b[start:] {
		if plainByte[c] {
			continue
		}
		if c != 0 {
			text := strings.ReplaceAll(string(args), "\x00", " ")
			return append(b[:start], plaintext.Escape(text)...)
		}
		b[start+i] = ' '
	}
	return b
}

// plainByte are the characters that are not escaped.
var plainByte = func() (plain [256]bool) {
	for c := ' '; c <= '~'; c++ {
		plain[c] = c != '\\'
	}
	return plain
}()
