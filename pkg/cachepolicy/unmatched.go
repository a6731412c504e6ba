package cachepolicy

import (
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/internal/spelling"
)

// Directories and links of a /proc below which something can be: of the root, and of a
// process apart from task. self and thread-self are links to a process, whose files have
// its number in their paths.
var (
	rootDirs    = []string{"acpi", "asound", "bus", "device-tree", "driver", "fs", "irq", "net", "pressure", "scsi", "spl", "sys", "sysvipc", "tty"}
	processDirs = []string{"attr", "cwd", "fd", "fdinfo", "map_files", "net", "ns", "root"}
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
		return standsFor(first, ofRoot)
	}
	return standsFor(first, rootDirs)
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
		return standsFor(first, processNames())
	}
	return standsFor(first, processDirs)
}

// isPID reports whether an element stands for some number.
func isPID(e string) bool {
	return e == "<pid>" || e == "<tid>" || strings.Trim(e, "0123456789*") == ""
}

func processNames() []string {
	names, _ := known(true, "")
	return names
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
	if name := nearest(first, ofRoot); name != "" {
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
	if standsFor(elems[0], processNames()) { // a file, and something below it
		return []string{"<pid>", elems[0]}
	}
	if name := nearest(elems[0], processNames()); name != "" {
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
	return spelling.Nearest(name, slices.Sorted(slices.Values(names)))
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
	names, is := known(inProcess, name)
	if is {
		return "", ""
	}
	slices.Sort(names)
	return name, spelling.Nearest(name, names)
}
