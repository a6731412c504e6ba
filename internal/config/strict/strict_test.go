package strict_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/config/strict"
)

func TestScalars(t *testing.T) {
	var text, number, block string
	var flag bool
	var count uint64
	var span time.Duration
	doc := strict.Parse("f", []byte("\ufefftext: 'a: b'\nnumber: 007\nflag: true\ncount: 12\nspan: 1m30s\nblock: >-\n  a: b\n  c\n"))
	doc.Root().Fields(strict.Fields{
		"text":   func(v strict.Value) { text, _ = v.Text() },
		"number": func(v strict.Value) { number, _ = v.Text() },
		"block":  func(v strict.Value) { block, _ = v.Text() },
		"flag":   func(v strict.Value) { flag, _ = v.Bool() },
		"count":  func(v strict.Value) { count, _ = v.Uint(12) },
		"span":   func(v strict.Value) { span, _ = v.Duration() },
	})
	got := fmt.Sprint(text, number, block, flag, count, span, doc.Err())
	if want := fmt.Sprint("a: b", "007", "a: b c", true, 12, 90*time.Second, error(nil)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestOneError(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string // what reading it as a list of texts complains of
	}{
		{"", "f:1:1: the file is empty"},
		{"- a\n- b", ""},
		{"a", `f:1:1: "a" stands where a list`},
		{"- true", `f:1:3: "true" stands where a text`},
		{"- {a: b}", "f:1:3: keys and values stand where a text"},
		{"- - a", "f:1:3: a list stands where a text"},
		{"- *x", "f:1:3: anchors, aliases"},
		{"- \"x", "f:1:3: this is no YAML"},
	} {
		doc := strict.Parse("f", []byte(tt.text))
		doc.Root().List(func(v strict.Value) { v.Text() })
		switch err := doc.Err(); {
		case tt.want == "" && err != nil:
			t.Errorf("%q: %v", tt.text, err)
		case tt.want != "" && !strings.HasPrefix(fmt.Sprint(err), tt.want):
			t.Errorf("%q: %v; want %s", tt.text, err, tt.want)
		}
	}
}

// TestFailAt wants the caret under the letter that the offset is of.
func TestFailAt(t *testing.T) {
	for text, column := range map[string]int{
		`- abc`:     5,
		`- "abc"`:   6,
		`- "é\tc"`:  3, // not as it stands in the file: the value's own place
		`-   'abc'`: 8,
		`- [xyabc]`: 6,
	} {
		doc := strict.Parse("f", []byte(text))
		doc.Root().List(func(v strict.Value) {
			read := func(v strict.Value) { v.FailAt(2, "here") }
			if strings.Contains(text, "[") {
				v.List(read)
				return
			}
			read(v)
		})
		var e strict.Error
		if !errors.As(doc.Err(), &e) || e.Column != column || e.Line != 1 {
			t.Errorf("%s: %v; want column %d", text, doc.Err(), column)
		}
	}
}

// TestExcerpt has a line that no terminal should see as it is.
func TestExcerpt(t *testing.T) {
	line := "k: " + strings.Repeat("x", 200) + "\x1b[31m"
	doc := strict.Parse("f", []byte(line))
	doc.Root().Fields(strict.Fields{"k": func(v strict.Value) { v.FailAt(150, "here") }})
	lines := strings.Split(fmt.Sprint(doc.Err()), "\n")
	if len(lines) != 3 || len(lines[1]) > 110 || strings.ContainsRune(lines[1], 0x1b) || lines[1][len(lines[2])-1] != 'x' {
		t.Errorf("%q", lines)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]string{
		"512MiB":         "536870912",
		"64KiB":          "65536",
		"0":              "0",
		"2 GiB":          "2147483648",
		"17179869184GiB": "not between",
		"99999999TiB":    "not between",
		"64":             "has no unit; write 64MiB",
		"64MB":           `f:1:5: "MB" is no unit of a size; these are KiB, MiB, GiB and TiB; did you mean "MiB"?`,
		"64m":            `did you mean "MiB"?`,
		"much":           "is no size",
		"-1MiB":          "is no size",
		"[]":             "a list stands where a size",
	} {
		doc := strict.Parse("f", []byte("- "+text))
		var n uint64
		doc.Root().List(func(v strict.Value) { n, _ = v.Size(0, 1<<40) })
		if got := fmt.Sprint(n, doc.Err()); !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %s", text, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0", 1000: "1000", 1536: "1536", 1 << 20: "1MiB", 3 << 29: "1536MiB"} {
		if got := strict.FormatSize(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
