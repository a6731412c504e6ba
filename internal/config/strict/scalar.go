package strict

import (
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// scalar is the text of a scalar as it stands in the file, so that 007 stays
// 007. Null, true and false are no text unless they are quoted.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode: // a block that begins with | or >
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// Text reads a text, which may be empty only where it is quoted.
func (v Value) Text() (string, bool) {
	text, ok := scalar(v.node)
	if !ok {
		v.refuse("a text")
	}
	return text, ok
}

// Bool reads true or false.
func (v Value) Bool() (value, ok bool) {
	n, ok := v.node.(*ast.BoolNode)
	if !ok {
		v.refuse("true or false")
		return false, false
	}
	return n.Value, true
}

// Uint reads a decimal number from 0 to max.
func (v Value) Uint(max uint64) (uint64, bool) {
	n, ok := v.node.(*ast.IntegerNode)
	if !ok {
		v.refuse("a number")
		return 0, false
	}
	value, err := strconv.ParseUint(n.GetToken().Value, 10, 64)
	if err != nil || value > max {
		v.Fail("%q stands where a number from 0 to %d should be", n.GetToken().Value, max)
		return 0, false
	}
	return value, true
}

// Duration reads a time span such as 500ms, 2s or 1m30s, zero at least. Only 0
// needs no unit.
func (v Value) Duration() (time.Duration, bool) {
	text, ok := scalar(v.node)
	if !ok {
		v.refuse("a time span such as 2s")
		return 0, false
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		if _, number := strconv.ParseFloat(text, 64); number == nil {
			v.Fail("the time span %q has no unit; write %ss for seconds", text, strings.TrimSpace(text))
		} else {
			v.Fail("%q is no time span such as 500ms, 2s or 1m30s", text)
		}
		return 0, false
	case d < 0:
		v.Fail("the time span %q is negative", text)
		return 0, false
	}
	return d, true
}

// sizes are the units of Size, in bytes.
var sizes = map[string]uint64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

// Size reads a number of bytes such as 64KiB, 512MiB or 2GiB, from least to most.
// Only 0 needs no unit.
func (v Value) Size(least, most uint64) (uint64, bool) {
	text, ok := scalar(v.node)
	if !ok {
		v.refuse("a size such as 512MiB")
		return 0, false
	}
	unit := strings.TrimLeft(text, "0123456789")
	digits := text[:len(text)-len(unit)]
	unit = strings.TrimSpace(unit)
	n, err := strconv.ParseUint(digits, 10, 64)
	factor := sizes[unit]
	switch {
	case err == nil && n == 0 && unit == "":
		factor = 1
	case err != nil:
		v.Fail("%q is no size such as 64KiB, 512MiB or 2GiB", text)
		return 0, false
	case unit == "":
		v.Fail("the size %q has no unit; write %sMiB for mebibytes (KiB, MiB, GiB, TiB)", text, digits)
		return 0, false
	case factor == 0:
		v.FailAt(len(text)-len(unit), "%q is no unit of a size; these are KiB, MiB, GiB and TiB%s", unit, nearly(unit))
		return 0, false
	}
	if n > most/factor || n*factor < least {
		v.Fail("the size %q is not between %s and %s", text, FormatSize(least), FormatSize(most))
		return 0, false
	}
	return n * factor, true
}

// nearly is the unit that was probably meant: M, MB and mib are MiB.
func nearly(unit string) string {
	for name := range sizes {
		if strings.EqualFold(unit[:1], name[:1]) {
			return "; did you mean " + strconv.Quote(name) + "?"
		}
	}
	return ""
}

// FormatSize writes a number of bytes as Size reads it where a unit divides it,
// in bytes otherwise.
func FormatSize(n uint64) string {
	for _, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if n > 0 && n%sizes[unit] == 0 {
			return strconv.FormatUint(n/sizes[unit], 10) + unit
		}
	}
	return strconv.FormatUint(n, 10)
}
