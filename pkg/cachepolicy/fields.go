package cachepolicy

import (
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/config/strict"
	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/internal/spelling"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// A field is one key of a struct whose fields are keys of the file: what is read
// and what the schema says come from the same tags.
type field struct {
	key, doc string
	need     bool
	index    int
}

func fieldsOf(t reflect.Type) (all []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		if key := f.Tag.Get("key"); key != "" {
			all = append(all, field{key, f.Tag.Get("doc"), f.Tag.Get("need") != "", i})
		}
	}
	return all
}

// readFields reads a mapping into the struct that into points to and returns the
// value of each key that was given. ok is that each of them, and each that must be
// there, could be read.
func readFields(v strict.Value, into any, what string) (given map[string]strict.Value, ok bool) {
	s := reflect.ValueOf(into).Elem()
	given = make(map[string]strict.Value)
	ok = true
	known := make(strict.Fields)
	all := fieldsOf(s.Type())
	for _, f := range all {
		known[f.key] = func(v strict.Value) {
			given[f.key] = v
			ok = readValue(v, s.Field(f.index).Addr().Interface()) && ok
		}
	}
	if !v.Fields(known) {
		return given, false
	}
	for _, f := range all {
		if _, there := given[f.key]; f.need && !there {
			first, _, _ := strings.Cut(f.doc, ":")
			first, _, _ = strings.Cut(first, ".")
			v.Fail("%s is missing in %s (%s)", f.key, what, strings.ToLower(first[:1])+first[1:])
			ok = false
		}
	}
	return given, ok
}

func readValue(v strict.Value, into any) (ok bool) {
	switch into := into.(type) {
	case *string:
		*into, ok = v.Text()
	case *bool:
		*into, ok = v.Bool()
	case *time.Duration:
		*into, ok = readSpan(v)
	case *Cache:
		*into, ok = readCache(v)
	case *Pattern:
		*into, ok = readPattern(v)
	case *Nodes:
		*into, ok = readNodes(v)
	case *size:
		var n uint64
		n, ok = v.Size(minSize, maxSize)
		*into = size(n)
	case *version:
		var n uint64
		if n, ok = v.Uint(1 << 31); ok && n != Version {
			v.Fail("version %d of the cache policy is not known here; this aggrfs reads version %d", n, Version)
			ok = false
		}
	case *[]*Rule:
		ok = true // read by itself, see reader
	default:
		panic("a field of a type that nobody reads")
	}
	return ok
}

// maxSpan is the longest time that a rule may name; lifetime is for what is to be
// kept longer.
const maxSpan = 30 * 24 * time.Hour

func readSpan(v strict.Value) (time.Duration, bool) {
	d, ok := v.Duration()
	if ok && d > maxSpan {
		v.Fail("more than %s", FormatSpan(maxSpan))
		ok = false
	}
	return d, ok
}

func readCache(v strict.Value) (Cache, bool) {
	text, ok := v.Text()
	if !ok {
		return Never, false
	}
	switch text {
	case "never":
		return Never, true
	case "lifetime":
		return Lifetime, true
	}
	if c := text[:min(1, len(text))]; strings.ToLower(c) != strings.ToUpper(c) {
		suggestion := ""
		if word := spelling.Nearest(text, []string{"never", "lifetime"}); word != "" {
			suggestion = "; did you mean \"" + word + "\"?"
		}
		v.Fail("%q is neither never, nor lifetime, nor a time span such as 2s%s", text, suggestion)
		return Never, false
	}
	d, ok := readSpan(v)
	if ok && d == 0 {
		v.Fail("to keep it for no time at all is \"never\"")
		ok = false
	}
	return Cache(d), ok
}

func readPattern(v strict.Value) (Pattern, bool) {
	text, ok := v.Text()
	if !ok {
		return Pattern{}, false
	}
	p, err := procpath.Compile(text)
	if err == nil {
		return Pattern{p}, true
	}
	var e *procpath.Error
	errors.As(err, &e)
	suggestion := ""
	element, _, _ := strings.Cut(text[min(e.Offset, len(text)):], "/")
	if strings.HasPrefix(element, "<") {
		if word := spelling.Nearest(element, []string{"<pid>", "<tid>"}); word != "" {
			suggestion = "; did you mean \"" + word + "\"?"
		}
	}
	v.FailAt(e.Offset, "bad pattern: %s%s", e.Reason, suggestion)
	return Pattern{}, false
}

func readNodes(v strict.Value) (Nodes, bool) {
	text, ok := v.Text()
	if !ok {
		return Nodes{}, false
	}
	n, err := nodesOf(text)
	var e *nodeset.Error
	switch {
	case err == nil:
		return n, true
	case errors.As(err, &e) && !e.Empty():
		v.FailAt(e.Offset, "bad nodeset %q: %s", text, e.Reason)
	default:
		v.Fail("the nodeset %q is empty; leave nodes away for all of them", text)
	}
	return Nodes{}, false
}
