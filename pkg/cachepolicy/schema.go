package cachepolicy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/procpath"
)

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
	case reflect.TypeFor[time.Duration]():
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

// Explanation is what a policy says of a file, for people.
type Explanation struct {
	Rule    *Rule
	Policy  *Policy
	Path    string // relative to a node's /proc
	Guarded string // why the content depends on who reads it; "" where it does not
}

// Explain says which rule is for a file of a node, and what follows; "" is any node,
// for which rules with nodes do not count. Path may begin with /proc/.
func (p *Policy) Explain(node, path string) (Explanation, error) {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/proc/"), "/")
	if c, err := procpath.Compile(path); err != nil || len(c.Alternatives()) != 1 || strings.ContainsAny(path, "*") {
		return Explanation{}, fmt.Errorf("%q is no path relative to a node's /proc, such as 1234/status or <pid>/status", path)
	}
	path = strings.NewReplacer("<pid>", "1", "<tid>", "1").Replace(path)
	e := Explanation{Rule: p.Rule(node, path), Policy: p, Path: path}
	if kind, rest := split(path); kind != ofMachine {
		e.Guarded = Guarded(rest)
	}
	return e, nil
}

// Effect says in sentences what happens when the file is read.
func (e Explanation) Effect() (lines []string) {
	r := e.Rule
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch r.Cache {
	case Never:
		say("never held: each open asks the node")
		return lines
	case Lifetime:
		if kind, _ := split(e.Path); kind == ofMachine {
			say("held until the node is booted again")
		} else {
			say("held for as long as the process lives")
		}
	default:
		say("held for %s, counted from when the node was asked", r.Cache)
	}
	if r.Prefetch {
		say("brought by a sweep, for all processes of a node at once")
	} else {
		say("fetched when it is opened, once for all who ask meanwhile")
	}
	if e.Guarded != "" {
		say("held for each reader apart: it is %s", e.Guarded)
	}
	if r.Stale > 0 {
		say("shown for %s more, as stale, while the node does not answer", FormatSpan(r.Stale))
	}
	if r.Negative > 0 {
		say("an answer such as \"no such file\" is held for %s", FormatSpan(r.Negative))
	}
	return lines
}
