package procpath

import "strings"

// match tells whether the elements stand for path. Only "**" needs to look
// back, and only to the last one: what stands between two of them may as well
// be found as early as possible.
func match(elems []string, path string) bool {
	var back []string // the elements behind the last "**"
	retry := ""       // what they are tried on next
	more := path != ""
	for {
		switch {
		case len(elems) > 0 && elems[0] == "**":
			elems = elems[1:]
			if len(elems) == 0 {
				return true
			}
			back, retry = elems, path
			if !more {
				return false
			}
			continue
		case len(elems) == 0 && !more:
			return true
		case len(elems) > 0 && more:
			name, rest, cut := strings.Cut(path, "/")
			if element(elems[0], name) {
				elems, path, more = elems[1:], rest, cut
				continue
			}
		}
		if back == nil {
			return false
		}
		var cut bool
		if _, retry, cut = strings.Cut(retry, "/"); !cut {
			return false
		}
		elems, path, more = back, retry, true
	}
}

// element tells whether one element of a pattern stands for a name.
func element(e, name string) bool {
	switch {
	case e == "<pid>" || e == "<tid>":
		return isNumber(name)
	case strings.IndexByte(e, '*') < 0:
		return e == name
	}
	head, rest, _ := strings.Cut(e, "*")
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], next
	}
}

// isNumber tells whether name is a pid as the kernel writes it.
func isNumber(name string) bool {
	if name == "" || name[0] == '0' || len(name) > 10 {
		return false
	}
	for i := range len(name) {
		if name[i] < '0' || name[i] > '9' {
			return false
		}
	}
	return true
}

// OfProcess is the path of the same file in the process's own directory, where path
// leads to a file of one of its threads: "12/net/tcp" for "12/task/34/net/tcp". It is
// not ok for a path that leads to no thread's file.
func OfProcess(path string) (same string, ok bool) {
	pid, rest, _ := strings.Cut(path, "/")
	rest, inTask := strings.CutPrefix(rest, "task/")
	tid, rest, below := strings.Cut(rest, "/")
	if !inTask || !below || rest == "" || !isNumber(pid) || !isNumber(tid) {
		return "", false
	}
	return pid + "/" + rest, true
}
