// Package strict reads YAML as configurations are best read: nothing is
// guessed, nothing is passed over, and whatever is wrong is said with its place.
//
// # Model
//
// [Parse] turns a file into a [Value], the document. Its reader takes it apart
// from the top: [Value.Fields] hands each key's value to the function for that
// key, [Value.List] each item to one function, and the scalar methods ([Value.Text],
// [Value.Bool], [Value.Duration], ...) read the leaves. What does not fit is
// noted with its position and reading goes on, so that one run finds all
// mistakes of a file. In the end [Document.Err] has what was found.
//
//	doc := strict.Parse("aggrfs.yaml", data)
//	doc.Root().Fields(strict.Fields{
//		"cache": func(v strict.Value) { c.Cache, _ = v.Duration() },
//	})
//	if err := doc.Err(); err != nil { ... }
//
// A reader notes what it finds itself with [Value.Fail].
//
// # What is refused
//
// Keys that nobody reads (with the nearest that would be), keys given twice,
// more than one document, and anchors, aliases, merge keys and tags: a
// configuration says what it means where it stands. A file is at most [MaxSize]
// bytes and [MaxDepth] levels deep. A nodeset or pattern whose brackets need quotes
// is refused with what to write, and read all the same to find the other mistakes.
package strict

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const (
	// MaxSize is the longest file that is parsed, in bytes.
	MaxSize = 4 << 20
	// MaxDepth is how many brackets may be open, and how many items one line may
	// begin.
	MaxDepth = 100
)

// A Document is one file being read. It belongs to one goroutine.
type Document struct {
	name   string
	lines  []string
	root   Value
	errors Errors
}

// Parse parses the YAML in data; name is the file's in messages. It always
// returns a document: where parsing failed its Err says so and its Root has
// nothing in it.
func Parse(name string, data []byte) *Document {
	// The parser counts lines wrongly where they end in CR LF.
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	text = strings.TrimPrefix(text, "\ufeff") // a byte order mark, as some editors write
	d := &Document{name: name}
	d.root = Value{doc: d}
	if len(data) > MaxSize {
		d.fail(0, 0, fmt.Sprintf("the file has %d bytes; no more than %d are read", len(data), MaxSize))
		return d
	}
	d.lines = strings.Split(text, "\n")
	for i, line := range d.lines {
		if !utf8.ValidString(line) {
			valid := strings.ToValidUTF8(line, "\xff")
			d.fail(i+1, utf8.RuneCountInString(valid[:strings.IndexByte(valid, 0xff)])+1, "this is not UTF-8")
			return d
		}
	}
	if line, column, deep := tooDeep(d.lines); deep {
		d.fail(line, column, fmt.Sprintf("nested more than %d deep", MaxDepth))
		return d
	}
	file, err := parse(text)
	if err != nil || marked(text) {
		if quoted, some := d.quoteMissing(); some {
			if file, err = parse(quoted); err == nil {
				for _, doc := range file.Docs {
					ast.Walk(restored{}, doc)
				}
			}
		}
	}
	if err != nil {
		line, column, message := 1, 1, err.Error()
		if e, ok := err.(yaml.Error); ok && e.GetToken() != nil {
			message = e.GetMessage()
			line, column = e.GetToken().Position.Line, e.GetToken().Position.Column
		}
		d.fail(line, column, "this is no YAML: "+message)
		return d
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case d.root.node != nil:
			Value{d, doc.Body}.Fail("a second document; one file holds one")
		default:
			d.root.node = doc.Body
		}
	}
	return d
}

// parse calls the parser, whose panic is an error like any other.
func parse(text string) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the parser gave up: %v", p)
		}
	}()
	// Keys given twice are found by Fields, which goes on behind them.
	return parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey())
}

// tooDeep finds where more than MaxDepth brackets are open, or where one line
// begins with more than MaxDepth "- " or "? ": the parser recurses for each.
func tooDeep(lines []string) (line, column int, deep bool) {
	open := 0
	for i, text := range lines {
		content := strings.TrimLeft(text, " -?")
		marks := text[:len(text)-len(content)]
		if strings.Count(marks, "-")+strings.Count(marks, "?") > MaxDepth {
			return i + 1, 1, true
		}
		if strings.HasPrefix(content, "#") {
			continue
		}
		for column, c := range []rune(text) {
			switch c {
			case '{', '[':
				open++
			case '}', ']':
				open = max(0, open-1)
			}
			if open > MaxDepth {
				return i + 1, column + 1, true
			}
		}
	}
	return 0, 0, false
}

// Root is the document's value.
func (d *Document) Root() Value { return d.root }

// Parsed reports whether there is something to read, be it wrong in places: Err
// may have something to say of the file's form already.
func (d *Document) Parsed() bool { return d.root.node != nil || len(d.errors) == 0 }

// Err is nil, or the Errors found so far in the order of the file.
func (d *Document) Err() error {
	if len(d.errors) == 0 {
		return nil
	}
	return d.errors.sorted()
}

// fail notes a fault at a line and column, both from 1 on; line 0 is the file
// as a whole.
func (d *Document) fail(line, column int, message string) {
	d.errors = append(d.errors, d.at(line, column, message))
}

func (d *Document) at(line, column int, message string) Error {
	e := Error{File: d.name, Line: line, Column: column, Message: message}
	if 1 <= line && line <= len(d.lines) {
		e.Source = d.lines[line-1]
	}
	return e
}

// place is where a node begins.
func place(n ast.Node) (line, column int) {
	if n == nil {
		return 1, 1
	}
	t := n.GetToken()
	// A mapping in block style has its first ":" as token.
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			t = m.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		t = m.Key.GetToken()
	}
	if t == nil || t.Position == nil {
		return 1, 1
	}
	return t.Position.Line, max(1, t.Position.Column)
}
