// Package where has the expressions that select processes by their columns, as --where of
// commands takes them: rss > 4*GiB && user != "root".
//
// The language is that of github.com/expr-lang/expr, without what repeats: no loops, no ranges,
// no variables, and no patterns that are not written down. So an expression takes, for each row,
// time and memory in proportion to its length and the row's, whoever wrote the row: command lines
// are other users' words.
package where

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

const (
	// maxText is how long an expression may be, in bytes, and maxNodes of how many parts.
	maxText  = 4096
	maxNodes = 400
	// maxArgs is how much of a command line an expression sees, in bytes.
	maxArgs = 64 << 10
)

// columns are what an expression sees of a row, by their types.
type columns struct {
	Node      string    `expr:"node" help:"node that it runs on"`
	GPID      int64     `expr:"gpid" help:"global pid"`
	NPID      int64     `expr:"npid" help:"pid as its node knows it"`
	PPID      int64     `expr:"ppid" help:"parent's global pid"`
	User      string    `expr:"user" help:"owner, by name or number"`
	Stat      string    `expr:"stat" help:"state, a letter"`
	Time      float64   `expr:"time" help:"processor time since its start, in seconds"`
	CPU       float64   `expr:"cpu" help:"share of one processor, in percent: the column %cpu"`
	RSS       int64     `expr:"rss" help:"resident memory, in bytes"`
	Start     time.Time `expr:"start" help:"when it began: start < date(\"2026-11-28\")"`
	Elapsed   float64   `expr:"elapsed" help:"time since then, in seconds"`
	TTY       string    `expr:"tty" help:"controlling terminal; \"\" is none"`
	Args      string    `expr:"args" help:"arguments, the first 64 KiB"`
	Job       string    `expr:"job" help:"job of a batch system; \"\" is none"`
	Step      string    `expr:"step" help:"step of the job"`
	Unit      string    `expr:"unit" help:"unit of systemd; \"\" is none"`
	Container string    `expr:"container" help:"container, by its id or name; \"\" is none"`
	Pod       string    `expr:"pod" help:"pod of Kubernetes, by its uid; \"\" is none"`
	Mem       float64   `expr:"mem" help:"resident memory, in percent of its node's: the column %mem"`
	VSZ       float64   `expr:"vsz" help:"virtual memory, in bytes"`
	NLWP      float64   `expr:"nlwp" help:"number of threads"`
	Pri       float64   `expr:"pri" help:"priority: larger is sooner"`
	NI        float64   `expr:"ni" help:"nice value"`

	units
}

// units are what numbers are multiplied by.
type units struct {
	KiB    int64 `expr:"KiB"`
	MiB    int64 `expr:"MiB"`
	GiB    int64 `expr:"GiB"`
	TiB    int64 `expr:"TiB"`
	Minute int64 `expr:"minute"`
	Hour   int64 `expr:"hour"`
	Day    int64 `expr:"day"`
}

var allUnits = units{1 << 10, 1 << 20, 1 << 30, 1 << 40, 60, 3600, 86400}

// functions are those of the library that take one look at their arguments.
var functions = []string{"len", "abs", "ceil", "floor", "round", "int", "float", "lower", "upper", "trim", "hasPrefix", "hasSuffix", "date"}

// Help says which columns there are, a line each.
func Help() string {
	var b strings.Builder
	for _, f := range fields() {
		fmt.Fprintf(&b, "%-9s %s\n", f.Tag.Get("expr"), f.Tag.Get("help"))
	}
	return b.String()
}

// fields are those of the columns.
func fields() (all []reflect.StructField) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[columns]()) {
		if f.Tag.Get("help") != "" {
			all = append(all, f)
		}
	}
	return all
}

// A Filter is an expression that says of a row yes or no. Its methods may not be called
// concurrently.
type Filter struct {
	text    string
	program *vm.Program
	vm      vm.VM
	uses    map[string]bool
	row     columns
}

// Parse makes a Filter. An error has the place, on a line below the expression, and the columns.
func Parse(text string) (*Filter, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("an expression of %d bytes is too long: %d at most", len(text), maxText)
	}
	tree, err := parser.Parse(text)
	if err != nil {
		return nil, explain(text, err)
	}
	f := &Filter{text: text, uses: make(map[string]bool), row: columns{units: allUnits}}
	c := &checker{uses: f.uses}
	ast.Walk(&tree.Node, c)
	if c.err != nil {
		return nil, explain(text, c.err.Bind(tree.Source))
	}
	if f.program, err = expr.Compile(text, expr.Env(columns{}), expr.AsBool(), expr.MaxNodes(maxNodes)); err != nil {
		return nil, explain(text, err)
	}
	return f, nil
}

// explain shows where in the text an error is.
func explain(text string, err error) error {
	message, line, column := err.Error(), 1, 0
	var at *file.Error
	if errors.As(err, &at) {
		message, line, column = at.Message, at.Line, at.Column
	}
	message, _, _ = strings.Cut(message, "\n")
	lines := strings.Split(text, "\n")
	shown := plaintext.Escape(lines[min(max(line, 1), len(lines))-1])
	column = min(max(column, 0), utf8.RuneCountInString(shown))
	var names []string
	for _, f := range fields() {
		names = append(names, f.Tag.Get("expr"))
	}
	return fmt.Errorf("%s\n  %s\n  %s^\nthe columns are %s; units are KiB, MiB, GiB, TiB, minute, hour, day", message, shown, strings.Repeat(" ", column), strings.Join(names, ", "))
}

// A checker refuses what repeats, and notes which names are used.
type checker struct {
	uses map[string]bool
	err  *file.Error
}

// Visit implements ast.Visitor.
func (c *checker) Visit(node *ast.Node) {
	refuse := func(format string, args ...any) {
		if c.err == nil {
			c.err = &file.Error{Location: (*node).Location(), Message: fmt.Sprintf(format, args...)}
		}
	}
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		c.uses[n.Value] = true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.UnaryNode, *ast.ArrayNode, *ast.ConditionalNode:
	case *ast.BinaryNode:
		switch _, written := n.Right.(*ast.StringNode); {
		case n.Operator == "..":
			refuse("there are no ranges in --where: compare twice")
		case n.Operator == "matches" && !written:
			refuse("behind matches stands a pattern in quotes")
		case !slices.Contains(operators, n.Operator):
			refuse("there is no operator %s in --where", n.Operator)
		}
	case *ast.BuiltinNode:
		if !slices.Contains(functions, n.Name) {
			refuse("there is no function %s in --where; there are %s", n.Name, strings.Join(functions, ", "))
		}
	case *ast.CallNode:
		refuse("there is no such function in --where; there are %s", strings.Join(functions, ", "))
	default:
		refuse("this is more than --where takes: columns, values, operators and %s", strings.Join(functions, ", "))
	}
}

// operators are those between two values that --where takes.
var operators = []string{
	"==", "!=", "<", ">", "<=", ">=", "&&", "||", "and", "or", "+", "-", "*", "/", "%", "in", "contains", "startsWith", "endsWith", "matches",
}

// Uses reports whether the expression has that column, by its name in package report.
func (f *Filter) Uses(column string) bool { return f.uses[strings.TrimPrefix(column, "%")] }

// Match reports whether the row is one that the expression is true of. A number that is
// not known is neither more nor less than any other. An error is of the expression, such
// as a division by zero.
func (f *Filter) Match(p *report.Process) (bool, error) {
	r := &f.row
	r.Node, r.GPID, r.NPID, r.PPID, r.User = p.Node, int64(p.GPID), int64(p.PID), p.PPID, p.User
	r.Time, r.RSS, r.Start, r.TTY, r.Job = float64(p.CPU)/100, p.RSS<<10, p.Start, p.TTY, p.Job()
	if place := p.Place; place != nil {
		r.Step, r.Unit, r.Container, r.Pod = place.Step, place.Unit, place.Container, place.Pod
	} else {
		r.Step, r.Unit, r.Container, r.Pod = "", "", "", ""
	}
	unknown := math.NaN()
	r.VSZ, r.NLWP, r.Pri, r.NI = unknown, unknown, unknown, unknown
	if d := p.Detail; d != nil {
		r.VSZ, r.NLWP, r.Pri = float64(d.VSZ<<10), float64(d.Threads), float64(d.Priority)
		if d.Nice != nil {
			r.NI = float64(*d.Nice)
		}
	}
	if r.Mem = unknown; p.Memory > 0 {
		r.Mem = float64(p.RSS) / float64(p.Memory) * 100
	}
	r.Stat, r.Args, r.CPU = "", "", unknown
	if f.uses["stat"] {
		r.Stat = string(rune(p.State))
	}
	if f.uses["elapsed"] {
		r.Elapsed = p.Elapsed().Seconds()
	}
	if p.Percent != nil {
		r.CPU = *p.Percent
	}
	if f.uses["args"] {
		r.Args = strings.ReplaceAll(string(p.Command[:min(len(p.Command), maxArgs)]), "\x00", " ")
	}
	is, err := f.vm.Run(f.program, r)
	if err != nil {
		return false, explain(f.text, err)
	}
	return is.(bool), nil
}
