package cachepolicy

import (
	"encoding/json"
	"reflect"
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
