package cachepolicy

import (
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/internal/spelling"
)

// Unmatched finds in a pattern the first alternative that stands for no file of a /proc,
// as far as its names are known, and what was probably meant by it, or "". What is in
// directories other than those of processes and threads is not known.
func Unmatched(p *procpath.Pattern) (text, near string, is bool) {
	for _, text := range p.Alternatives() {
		if elems := strings.Split(text, "/"); !inRoot(elems) {
			return text, strings.Join(meant(elems), "/"), true
		}
	}
	return "", "", false
}

// inRoot reports whether the elements stand for something in a /proc.
func inRoot(elems []string) bool {
	first, rest := elems[0], elems[1:]
	switch {
	case first == "**", isPID(first) && inProcess(rest, true):
		return true
	case len(rest) == 0 || rest[0] == "**":
		return standsFor(first, procfile.Root.Names())
	}
	return standsFor(first, procfile.Root.Dirs())
}

// inProcess reports whether the elements stand for something in a process's directory,
// or in that of a thread, which has no task.
func inProcess(elems []string, task bool) bool {
	if len(elems) == 0 || elems[0] == "**" {
		return true
	}
	first, rest := elems[0], elems[1:]
	if task && matches(first, "task") && (len(rest) == 0 || rest[0] == "**" || isPID(rest[0]) && inProcess(rest[1:], false)) {
		return true
	}
	if len(rest) == 0 || rest[0] == "**" {
		return standsFor(first, procfile.Process.Names())
	}
	return standsFor(first, procfile.Process.Dirs())
}

// isPID reports whether an element stands for some number.
func isPID(e string) bool {
	return e == "<pid>" || e == "<tid>" || strings.Trim(e, "0123456789*") == ""
}

func standsFor(e string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return matches(e, name) })
}

// meant are the elements that were probably meant by some that stand for nothing.
func meant(elems []string) []string {
	first, rest := elems[0], elems[1:]
	inAny := func(rest ...string) []string { return append([]string{"<pid>"}, rest...) }
	switch {
	case len(rest) > 0 && (first == "proc" || isPID(first)) && inRoot(rest): // proc/meminfo, <pid>/meminfo
		return rest
	case len(rest) > 0 && inProcess(rest, true): // pid/environ
		return inAny(rest...)
	case inProcess(elems, true): // environ
		return inAny(elems...)
	case isPID(first) && len(rest) > 0:
		return meantInProcess(rest)
	case len(rest) > 0 && inRoot(rest):
		return rest
	}
	if name := nearest(first, procfile.Root.Names()); name != "" {
		if like := append([]string{name}, rest...); inRoot(like) {
			return like
		}
	}
	if len(rest) > 0 { // pid/enviorn
		return meantInProcess(rest)
	}
	return meantInProcess(elems)
}

// meantInProcess are those that were probably meant by some that stand for nothing in a
// process's directory, or none.
func meantInProcess(elems []string) []string {
	if elems[0] == "task" && len(elems) > 1 {
		if name := elems[len(elems)-1]; inProcess([]string{name}, false) {
			return []string{"<pid>", "task", "<tid>", name}
		}
	}
	if standsFor(elems[0], procfile.Process.Names()) { // a file, and something below it
		return []string{"<pid>", elems[0]}
	}
	if name := nearest(elems[0], procfile.Process.Names()); name != "" {
		if like := append([]string{name}, elems[1:]...); inProcess(like, true) {
			return append([]string{"<pid>"}, like...)
		}
	}
	return nil
}

func nearest(name string, names []string) string {
	if len(name) < minHint || strings.Contains(name, "*") {
		return ""
	}
	return spelling.Nearest(name, names)
}

// minHint is the shortest name that is compared with others: short ones are alike
// by chance.
const minHint = 4

// nearestFile finds in a pattern without braces a name that is none of /proc's but nearly
// one, and that one; "" is that there is none.
func nearestFile(text string) (name, near string) {
	name, inProcess := strings.CutPrefix(text, processDir)
	name = strings.TrimPrefix(name, taskDir+"<tid>/")
	name, _, _ = strings.Cut(name, "/")
	if strings.ContainsAny(name, "*<") || len(name) < minHint {
		return "", ""
	}
	names := procfile.In(inProcess).Names()
	if slices.Contains(names, name) {
		return "", ""
	}
	return name, spelling.Nearest(name, names)
}

// singlesOut is the element of a pattern that stands for some numbers and not for
// others where a pid or tid may stand; "" if there is none.
func singlesOut(alternative string) string {
	anywhere := true // all before are "**"
	before := ""
	first := ""
	for i, e := range strings.Split(alternative, "/") {
		if i == 0 {
			first = e
		}
		below := first == "**" || first == "<pid>" || first == "<tid>" || first == "*"
		if someNumbers(e) && (anywhere || below && (before == "**" || matches(before, "task"))) {
			return e
		}
		anywhere = anywhere && e == "**"
		before = e
	}
	return ""
}

// someNumbers reports whether an element that is not for all numbers is for some.
func someNumbers(e string) bool {
	if e == "*" || e == "**" || strings.Trim(e, "0123456789*") != "" {
		return false
	}
	return e[0] != '0'
}

func matches(element, name string) bool {
	p, err := procpath.Compile(element)
	return err == nil && p.Match(name)
}
