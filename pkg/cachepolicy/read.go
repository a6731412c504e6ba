package cachepolicy

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/configs"
	"github.com/aggrfs/aggrfs/internal/config/strict"
	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/internal/spelling"
	"github.com/aggrfs/aggrfs/internal/trusted"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// Version is the version of the file format that this package reads.
const Version = 1

const (
	// MaxRules is how many rules a policy may have, and MaxAlternatives how many
	// patterns without braces these may make together.
	MaxRules        = 256
	MaxAlternatives = 2048 // see MaxRules
	// MaxPrefetch is how many files a sweep may bring of each process.
	MaxPrefetch = 64

	minSize     = 1 << 10 // of max_entry, in bytes
	maxSize     = 1 << 40 // of both
	minMaxBytes = 1 << 20

	// maxShare is what part of max_bytes max_entry may be: a fourth of a shard, so
	// that one file does not drive out all others there.
	maxShare = 4 * shards

	// maxListing is the longest that a listing may be a promise: its rows are held for so long.
	maxListing = 10 * time.Minute

	// minSample and maxSample bound sample_min: below, the sampling itself is what is measured.
	minSample, maxSample = 10 * time.Millisecond, time.Minute
)

type (
	version int
	size    uint64
	listing time.Duration // at most maxListing
	sample  time.Duration // minSample to maxSample
)

// file is the policy file. What its tags say is the text of the JSON Schema.
type file struct {
	Version  version `key:"version" need:"yes" doc:"The version of the format: 1."`
	MaxBytes size    `key:"max_bytes" doc:"How much may be cached in all, including what the cache itself takes; at least 1MiB. 512MiB without the key."`
	MaxEntry size    `key:"max_entry" doc:"The largest file that is cached, at most 1/64 of max_bytes. 1MiB, or that if it is less, without the key."`
	Listing  listing `key:"listing" doc:"For how long a listing of processes through a mount is a promise: whoever has listed them gets the files that a sweep brings once as of that listing. 0s is not at all, 10m the most. 60s without the key."`
	Sample   sample  `key:"sample_min" doc:"The shortest interval at which nodes are sampled while somebody reads rates (cluster/top, cluster/net and their like), whatever the readers want; 10ms to 1m. 100ms without the key."`
	Rules    []*Rule `key:"rules" need:"yes" doc:"The rules: the first whose pattern names a file is the file's. A file that none names is never cached."`
}

// DefaultName is what the default policy is called where a file has its path.
const DefaultName = "default cache policy"

// Default is the policy that is in force without a file: configs/cachepolicy.yaml.
func Default() *Policy {
	p, err := Parse(DefaultName, configs.CachePolicy)
	if err != nil {
		panic(err) // a test reads it
	}
	return p
}

// Load reads the policy file at path, as a service does that decides for others by
// it: it must be a trusted file, see package trusted.
func Load(path string) (*Policy, error) {
	return load(path, func(path string) ([]byte, error) { return trusted.ReadFile(path, strict.MaxSize) })
}

// LoadOwn is Load for a process that serves nobody but its own user, who may read
// whatever file they name.
func LoadOwn(path string) (*Policy, error) { return load(path, os.ReadFile) }

func load(path string, read func(string) ([]byte, error)) (*Policy, error) {
	data, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("cache policy: %w", err)
	}
	return Parse(path, data)
}

// Parse reads the policy in data; name is the file's in messages. The error has
// all mistakes of the file, each with line, column, and a caret under the place
// ([strict.Errors]).
func Parse(name string, data []byte) (*Policy, error) {
	doc := strict.Parse(name, data)
	if !doc.Parsed() {
		return nil, doc.Err()
	}
	var r reader
	r.read(doc.Root())
	if err := doc.Err(); err != nil {
		return nil, err
	}
	rules := make([]*Rule, len(r.entries))
	for i, e := range r.entries {
		rules[i] = e.rule
	}
	p := newPolicy(rules)
	p.Name = name
	p.MaxBytes, p.MaxEntry, p.warnings = uint64(r.file.MaxBytes), uint64(r.file.MaxEntry), r.warnings
	p.Listing, p.SampleMin = time.Duration(r.file.Listing), time.Duration(r.file.Sample)
	return p, nil
}

// A reader fills a file from a document. What one rule means for another is
// checked when all have been read.
type reader struct {
	file     file
	entries  []entryOf
	warnings []string
}

// An entryOf is a rule and where its keys stand.
type entryOf struct {
	rule *Rule
	all  strict.Value
	at   map[string]strict.Value
	ok   bool // nothing is wrong with it by itself
}

func (r *reader) read(root strict.Value) {
	r.file.Listing, r.file.Sample = listing(DefaultListing), sample(DefaultSampleMin)
	given, _ := readFields(root, &r.file, "the policy")
	r.sizes(given)
	rules, there := given["rules"]
	if !there {
		return
	}
	rules.List(func(v strict.Value) {
		if len(r.entries) == MaxRules {
			v.Fail("more than %d rules", MaxRules)
		}
		rule := &Rule{Line: v.Line()}
		at, ok := readFields(v, rule, "the rule")
		r.entries = append(r.entries, entryOf{rule, v, at, ok})
	})
	if len(r.entries) <= MaxRules {
		r.check()
	}
}

func (r *reader) sizes(given map[string]strict.Value) {
	f := &r.file
	limit, limited := given["max_bytes"]
	if !limited {
		f.MaxBytes = DefaultMaxBytes
	}
	if limited && 0 < f.MaxBytes && f.MaxBytes < minMaxBytes {
		limit.Fail("max_bytes is at least %s", strict.FormatSize(minMaxBytes))
	}
	most := f.MaxBytes / maxShare
	at, own := given["max_entry"]
	switch {
	case !own:
		f.MaxEntry = min(DefaultMaxEntry, most)
	case f.MaxEntry > most && most > 0:
		at.Fail("more than 1/%d of max_bytes: at most %s here", maxShare, strict.FormatSize(uint64(most)))
	}
}

// Faults are the single mistakes in an error of Parse, nil if it is none.
func Faults(err error) []error {
	var all strict.Errors
	if !errors.As(err, &all) {
		return nil
	}
	return all.Unwrap()
}

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
		*into, ok = readSpan(v, maxSpan)
	case *listing:
		var d time.Duration
		d, ok = readSpan(v, maxListing)
		*into = listing(d)
	case *sample:
		var d time.Duration
		if d, ok = readSpan(v, maxSample); ok && d < minSample {
			v.Fail("less than %s", FormatSpan(minSample))
			ok = false
		}
		*into = sample(d)
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
// cached longer.
const maxSpan = 30 * 24 * time.Hour

func readSpan(v strict.Value, most time.Duration) (time.Duration, bool) {
	d, ok := v.Duration()
	if ok && d > most {
		v.Fail("more than %s", FormatSpan(most))
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
	d, ok := readSpan(v, maxSpan)
	if ok && d == 0 {
		v.Fail("to cache it for no time at all is \"never\"")
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

// Schema is the JSON Schema (draft 2020-12) of the policy file, made of the types
// that it is read into, for editors: configs/cachepolicy.schema.json.
func Schema() []byte {
	s := object(reflect.TypeFor[file]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "The cache policy of aggrfs"
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // maps and strings
	}
	return append(text, '\n')
}

type schema map[string]any

// object is the schema of a struct whose fields are keys.
func object(t reflect.Type) schema {
	properties, required := make(schema), []string{}
	for _, f := range fieldsOf(t) {
		s := schemaOf(t.Field(f.index).Type)
		s["description"] = f.doc
		properties[f.key] = s
		if f.need {
			required = append(required, f.key)
		}
	}
	return schema{"type": "object", "additionalProperties": false, "properties": properties, "required": required}
}

// The forms of texts, as regular expressions. They let some through that Parse
// refuses: which units go together, and what is too much, is not theirs to say.
const (
	spanForm = `([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+`
	sizeForm = `^[0-9]+ ?(KiB|MiB|GiB|TiB)$`
)

func schemaOf(t reflect.Type) schema {
	switch t {
	case reflect.TypeFor[string]():
		return schema{"type": "string"}
	case reflect.TypeFor[bool]():
		return schema{"type": "boolean"}
	case reflect.TypeFor[time.Duration](), reflect.TypeFor[listing](), reflect.TypeFor[sample]():
		return schema{"anyOf": []schema{{"type": "string", "pattern": "^(0|" + spanForm + ")$"}, {"const": 0}}}
	case reflect.TypeFor[Cache]():
		return schema{"type": "string", "anyOf": []schema{{"enum": []string{"never", "lifetime"}}, {"pattern": "^" + spanForm + "$"}}}
	case reflect.TypeFor[Pattern]():
		return schema{"type": "string", "minLength": 1, "maxLength": procpath.MaxPattern, "pattern": "^[^/]"}
	case reflect.TypeFor[Nodes]():
		return schema{"type": "string", "minLength": 1}
	case reflect.TypeFor[size]():
		return schema{"type": "string", "pattern": sizeForm}
	case reflect.TypeFor[version]():
		return schema{"const": Version}
	case reflect.TypeFor[[]*Rule]():
		return schema{"type": "array", "maxItems": MaxRules, "items": object(reflect.TypeFor[Rule]())}
	}
	panic("a field of a type that has no schema: " + t.String())
}
