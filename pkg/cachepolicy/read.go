package cachepolicy

import (
	"errors"
	"fmt"
	"os"

	"github.com/aggrfs/aggrfs/configs"
	"github.com/aggrfs/aggrfs/internal/config/strict"
	"github.com/aggrfs/aggrfs/internal/trusted"
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
)

type (
	version int
	size    uint64
)

// file is the policy file. What its tags say is the text of the JSON Schema.
type file struct {
	Version  version `key:"version" need:"yes" doc:"The version of the format: 1."`
	MaxBytes size    `key:"max_bytes" doc:"How much may be held in all, what it takes to hold it included; at least 1MiB. 512MiB without the key."`
	MaxEntry size    `key:"max_entry" doc:"The largest file that is held, at most 1/64 of max_bytes. 1MiB, or that if it is less, without the key."`
	Rules    []*Rule `key:"rules" need:"yes" doc:"The rules: the first whose pattern names a file is the file's. A file that none names is never kept."`
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
