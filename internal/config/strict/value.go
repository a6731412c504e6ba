package strict

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/aggrfs/aggrfs/internal/spelling"
)

// A Value is one value of a document. The zero Value of a document that could
// not be parsed has nothing in it and complains of nothing.
type Value struct {
	doc  *Document
	node ast.Node
}

// Fail notes a fault of this value.
func (v Value) Fail(format string, args ...any) {
	line, column := place(v.node)
	v.doc.fail(line, column, fmt.Sprintf(format, args...))
}

// FailAt notes a fault at a byte offset in the value's text.
func (v Value) FailAt(offset int, format string, args ...any) {
	line, column := v.placeAt(offset)
	v.doc.fail(line, column, fmt.Sprintf(format, args...))
}

// At says something of the place at a byte offset in the value's text without
// noting it as a fault: what is worth a look, but no reason to refuse the file.
func (v Value) At(offset int, format string, args ...any) Error {
	line, column := v.placeAt(offset)
	return v.doc.at(line, column, fmt.Sprintf(format, args...))
}

// placeAt is the place of a byte offset in the value's text, as well as that can
// be told.
func (v Value) placeAt(offset int) (line, column int) {
	line, column = place(v.node)
	if text, ok := scalar(v.node); ok && line <= len(v.doc.lines) && 0 <= offset && offset <= len(text) {
		source := []rune(v.doc.lines[line-1])
		rest := string(source[min(column-1, len(source)):])
		// Behind a quote, if at all: a text with escapes is not found.
		if at := strings.Index(rest, text); at == 0 || at == 1 {
			column += at + len([]rune(text[:offset]))
		}
	}
	return line, column
}

// Line is the line on which the value begins, from 1 on.
func (v Value) Line() int {
	line, _ := place(v.node)
	return line
}

// Fields maps the keys of a mapping to what reads their values.
type Fields map[string]func(Value)

// Fields reads a mapping: each known key's value is given to its function, in
// the order of the file. Unknown keys and keys given twice are noted. It reports
// whether v is a mapping at all; an empty document is one without keys.
func (v Value) Fields(known Fields) bool {
	names := slices.Sorted(maps.Keys(known))
	return v.Entries(strings.Join(names, ", "), func(key, value Value) {
		text, ok := scalar(key.node)
		switch read := known[text]; {
		case !ok:
			key.refuse("a key")
		case read == nil:
			key.Fail("%s", unknown(text, names))
		default:
			read(value)
		}
	})
}

// Entries reads a mapping whose keys are the file's own: each key and its value,
// in the order of the file, a key that is given twice only once. what says in
// messages what an entry is. It reports whether v is a mapping at all.
func (v Value) Entries(what string, read func(key, value Value)) bool {
	entries, ok := v.entries()
	if !ok {
		v.refuse("keys and values (%s)", what)
		return false
	}
	seen := make(map[string]int)
	for _, e := range entries {
		if text, ok := scalar(e.Key); ok {
			line, column := place(e.Key)
			if first, again := seen[text]; again {
				v.doc.fail(line, column, fmt.Sprintf("the key %q is given twice, first on line %d", text, first))
				continue
			}
			seen[text] = line
		}
		read(Value{v.doc, e.Key}, Value{v.doc, e.Value})
	}
	return true
}

// entries are the keys and values of a mapping.
func (v Value) entries() ([]*ast.MappingValueNode, bool) {
	switch n := v.node.(type) {
	case nil:
		return nil, true
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// List reads a sequence, one item after the other, and reports whether v is one.
func (v Value) List(read func(Value)) bool {
	n, ok := v.node.(*ast.SequenceNode)
	if !ok {
		v.refuse("a list ([a, b] or one \"- item\" a line)")
		return false
	}
	for _, item := range n.Values {
		read(Value{v.doc, item})
	}
	return true
}

// refuse notes that v is not what is wanted.
func (v Value) refuse(format string, args ...any) {
	want := fmt.Sprintf(format, args...)
	switch n := v.node.(type) {
	case nil:
		if len(v.doc.errors) == 0 { // else parsing failed, and that has been said
			v.Fail("the file is empty; %s should be here", want)
		}
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		v.Fail("anchors, aliases, merge keys and tags are not taken; write out %s", want)
	case *ast.NullNode:
		v.Fail("the value is missing; %s should be here", want)
	case *ast.MappingNode, *ast.MappingValueNode:
		v.Fail("keys and values stand where %s should be", want)
	case *ast.SequenceNode:
		v.Fail("a list stands where %s should be", want)
	default:
		v.Fail("%q stands where %s should be", n.GetToken().Value, want)
	}
}

// unknown is the message for a key that nobody reads.
func unknown(key string, known []string) string {
	if best := spelling.Nearest(key, known); best != "" {
		return fmt.Sprintf("unknown key %q; did you mean %q?", key, best)
	}
	return fmt.Sprintf("unknown key %q; the keys here are %s", key, strings.Join(known, ", "))
}

// IsList reports whether v is a list.
func (v Value) IsList() bool {
	_, list := v.node.(*ast.SequenceNode)
	return list
}

// IsMapping reports whether v is a mapping.
func (v Value) IsMapping() bool {
	_, is := v.entries()
	return is && v.node != nil
}

// Texts reads one text, or a list of them, and gives each to read.
func (v Value) Texts(read func(v Value, text string)) {
	if v.IsList() {
		v.List(func(v Value) {
			if text, ok := v.Text(); ok {
				read(v, text)
			}
		})
		return
	}
	if text, ok := v.Text(); ok {
		read(v, text)
	}
}
