// Package procpath matches paths of a /proc.
//
// # Syntax
//
// A pattern is a path relative to the root of one node's /proc, such as
// "<pid>/status" or "net/tcp". Its elements, between slashes, are made of
//
//	<pid>, <tid>   a number, as the name of a process or thread; a whole element
//	**             any number of elements, none too; a whole element
//	*              any run of characters of one element, none too
//	{a,b}          one of these; they may hold * and slashes, and do not nest
//
// and of all other characters as they are. Only a number matches "<pid>", and
// "*" matches numbers too.
//
// A Pattern never changes and may be used concurrently. Matching allocates
// nothing.
package procpath

import (
	"fmt"
	"strings"
)

const (
	// MaxPattern is the longest pattern in bytes.
	MaxPattern = 1024
	// MaxAlternatives bounds what the braces of one pattern multiply to.
	MaxAlternatives = 256
)

// A Pattern is a compiled pattern.
type Pattern struct {
	text string
	alts [][]string // the elements of each alternative
}

// An Error says what is wrong with a pattern, and where.
type Error struct {
	Offset int // in bytes
	Reason string
}

func (e *Error) Error() string { return e.Reason }

// Compile reads a pattern. The error is an [*Error].
func Compile(text string) (*Pattern, error) {
	switch {
	case text == "":
		return nil, &Error{0, "a pattern is empty"}
	case len(text) > MaxPattern:
		return nil, &Error{MaxPattern, fmt.Sprintf("a pattern of %d bytes; no more than %d are read", len(text), MaxPattern)}
	case text[0] == '/':
		return nil, &Error{0, "patterns are relative to a node's /proc; leave the \"/\" in front away"}
	}
	texts, err := expand(text)
	if err != nil {
		return nil, err
	}
	p := &Pattern{text: text}
	for _, t := range texts {
		elems := strings.Split(t, "/")
		for _, e := range elems {
			if reason := badElement(e); reason != "" {
				return nil, &Error{max(0, strings.Index(text, e)), reason}
			}
		}
		p.alts = append(p.alts, elems)
	}
	return p, nil
}

// badElement says what is wrong with an element, "" if nothing.
func badElement(e string) string {
	switch {
	case e == "":
		return "an element between slashes is empty"
	case e == "." || e == "..":
		return "\"" + e + "\" is no element of a pattern"
	case e == "**" || e == "<pid>" || e == "<tid>":
		return ""
	case strings.Contains(e, "**"):
		return "\"**\" stands for whole elements, between slashes"
	case strings.ContainsAny(e, "<>"):
		return "only <pid> and <tid>, as whole elements, have \"<\" and \">\""
	case strings.IndexByte(e, 0) >= 0:
		return "a pattern has no NUL"
	}
	return ""
}

// expand is the alternatives that the braces of a pattern make.
func expand(text string) ([]string, error) {
	texts := []string{""}
	for at := 0; at < len(text); {
		open := strings.IndexAny(text[at:], "{}")
		if open < 0 {
			return appendEach(texts, text[at:]), nil
		}
		open += at
		if text[open] == '}' {
			return nil, &Error{open, "\"}\" without \"{\""}
		}
		length := strings.IndexAny(text[open+1:], "{}")
		if length < 0 || text[open+1+length] == '{' {
			return nil, &Error{open, "\"{\" is not closed; braces do not nest"}
		}
		texts = appendEach(texts, text[at:open])
		choices := strings.Split(text[open+1:open+1+length], ",")
		if len(texts)*len(choices) > MaxAlternatives {
			return nil, &Error{open, fmt.Sprintf("the braces make more than %d patterns", MaxAlternatives)}
		}
		var all []string
		for _, choice := range choices {
			all = append(all, appendEach(texts, choice)...)
		}
		texts = all
		at = open + 1 + length + 1
	}
	return texts, nil
}

func appendEach(texts []string, tail string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = t + tail
	}
	return out
}

// String is the pattern as it was written.
func (p *Pattern) String() string { return p.text }

// Match reports whether the pattern stands for path, which is relative to a
// node's /proc and has native names.
func (p *Pattern) Match(path string) bool {
	for _, elems := range p.alts {
		if match(elems, path) {
			return true
		}
	}
	return false
}

// Covers reports whether the pattern stands for path or for a directory that it
// is in.
func (p *Pattern) Covers(path string) bool {
	for i := range len(path) {
		if path[i] == '/' && p.Match(path[:i]) {
			return true
		}
	}
	return p.Match(path)
}

// match reports whether the elements stand for path. Only "**" needs to look
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

// element reports whether one element of a pattern stands for a name.
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

// isNumber reports whether name is a pid as the kernel writes it.
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
