package cachepolicy

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"
	"time"
)

// The schema in configs is the one that the types make. To bring it up to date:
//
//	AGGRFS_WRITE_SCHEMA=1 go test -run TestSchema ./pkg/cachepolicy
func TestSchema(t *testing.T) {
	const name = "../../configs/cachepolicy.schema.json"
	if os.Getenv("AGGRFS_WRITE_SCHEMA") != "" {
		if err := os.WriteFile(name, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != string(Schema()) {
		t.Errorf("%s is not what the types make (%v): run AGGRFS_WRITE_SCHEMA=1 go test -run TestSchema ./pkg/cachepolicy", name, err)
	}
	var s map[string]any
	if err := json.Unmarshal(got, &s); err != nil {
		t.Fatal(err)
	}
	if line, _, _ := cut(string(mustRead(t, "../../configs/cachepolicy.yaml"))); line != "# yaml-language-server: $schema=cachepolicy.schema.json" {
		t.Errorf("the policy's first line is %q: editors do not find the schema", line)
	}
}

// What the schema's forms refuse, Parse refuses too.
func TestSchemaForms(t *testing.T) {
	span, size := regexp.MustCompile("^"+spanForm+"$"), regexp.MustCompile(sizeForm)
	for _, d := range []time.Duration{time.Nanosecond, time.Microsecond, 1500 * time.Millisecond, time.Second, 90 * time.Minute, 30 * time.Hour} {
		for _, text := range []string{d.String(), FormatSpan(d)} {
			if got, err := time.ParseDuration(text); err != nil || got != d || !span.MatchString(text) {
				t.Errorf("%q for %v: %v", text, d, err)
			}
		}
	}
	for text, ok := range map[string]bool{"512MiB": true, "1GiB": true, "512": false, "1MB": false} {
		if size.MatchString(text) != ok {
			t.Errorf("the form of sizes takes %q: %v", text, !ok)
		}
	}
}
