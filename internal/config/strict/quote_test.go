package strict_test

import (
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/config/strict"
)

// TestQuote has texts that need quotes, each with what the error says and what is
// read all the same.
func TestQuote(t *testing.T) {
	const brackets = " (to YAML its brackets are a list or keys and values)"
	for _, tt := range []struct{ text, want, read string }{
		{`- {nodes: n[001-128], address: "tls:%s"}`, `f:1:11: quote it: nodes: "n[001-128]"` + brackets, "nodes=n[001-128] address=tls:%s"},
		{`- {nodes: n[1,3-4],address: x}`, `f:1:11: quote it: nodes: "n[1,3-4]"` + brackets, "nodes=n[1,3-4] address=x"},
		{`- {a: b, nodes: n[1-2],m[3-4] }`, `f:1:17: quote it: nodes: "n[1-2],m[3-4]"` + brackets, "a=b nodes=n[1-2],m[3-4]"},
		{`- {nodes: r[1-2]n[1-3]-ib}`, `f:1:11: quote it: nodes: "r[1-2]n[1-3]-ib"` + brackets, "nodes=r[1-2]n[1-3]-ib"},
		{`- {nodes: n[1-5]!n3, a: b}`, `f:1:11: quote it: nodes: "n[1-5]!n3"` + brackets, "nodes=n[1-5]!n3 a=b"},
		{`- {match: <pid>/{stat,status}, cache: 1s}`, `f:1:11: quote it: match: "<pid>/{stat,status}"` + brackets, "match=<pid>/{stat,status} cache=1s"},
		{`- {nodes: [1-3]x}`, `f:1:11: quote it: nodes: "[1-3]x"` + brackets, "nodes=[1-3]x"},
		{`- nodes: [1-3]x`, `f:1:10: quote it: nodes: "[1-3]x"` + brackets, "nodes=[1-3]x"},
		{`- {n[1-3]: x}`, `f:1:4: quote it: "n[1-3]"` + brackets, "n[1-3]=x"},
		{`- {ä: "b", é: n[1-3]}`, `f:1:15: quote it: é: "n[1-3]"` + brackets, "ä=b é=n[1-3]"},
		{`- users: *`, `f:1:10: quote it: users: "*" (YAML has another use for a '*' in front)`, "users=*"},
		{`- {match: **, cache: never}`, `f:1:11: quote it: match: "**" (YAML has another use for a '*' in front)`, "match=** cache=never"},
		{`- {nodes: @all, a: b}`, `f:1:11: quote it: nodes: "@all" (YAML has another use for a '@' in front)`, "nodes=@all a=b"},
		{`- address: %s:5640`, `f:1:12: quote it: address: "%s:5640" (YAML has another use for a '%' in front)`, "address=%s:5640"},
		{`- nodes: !n2`, `f:1:10: quote it: nodes: "!n2" (YAML has another use for a '!' in front)`, "nodes=!n2"},
		{`- {nodes: !n2, a: b}`, `f:1:11: quote it: nodes: "!n2" (YAML has another use for a '!' in front)`, "nodes=!n2 a=b"},
		{`- {nodes: !n[1-2]}`, `f:1:11: quote it: nodes: "!n[1-2]" (YAML has another use for a '!' in front)`, "nodes=!n[1-2]"},
		{`- users: &ops`, `f:1:10: quote it: users: "&ops" (YAML has another use for a '&' in front)`, "users=&ops"},
		{`- {users: &ops}`, `f:1:11: quote it: users: "&ops" (YAML has another use for a '&' in front)`, "users=&ops"},
		{`- {nodes: n[1"2]}`, `f:1:11: quote it: nodes: 'n[1"2]'` + brackets, `nodes=n[1"2]`},
	} {
		doc := strict.Parse("f", []byte(tt.text))
		err := doc.Err()
		if err == nil || !strings.HasPrefix(err.Error(), tt.want+"\n  "+tt.text+"\n") {
			t.Errorf("%s: %v\nwant %s", tt.text, err, tt.want)
		}
		var read []string
		doc.Root().List(func(v strict.Value) {
			v.Entries("", func(key, value strict.Value) {
				k, _ := key.Text()
				text, _ := value.Text()
				read = append(read, k+"="+text)
			})
		})
		if got := strings.Join(read, " "); tt.read != "" && got != tt.read {
			t.Errorf("%s: read %s, want %s", tt.text, got, tt.read)
		}
	}
}

// TestQuoteFew has what is no text without quotes, in a file that the parser refuses
// for another reason, or not at all.
func TestQuoteFew(t *testing.T) {
	for _, good := range []string{
		"a: n[1-3]\nb: x{1,2}", "a: [1-3]", `{a: "n[1-3]", b: 'm[1]'}`, "a: [[1], [2, 3], {b: c}]", "a: # {b: n[1]}\n  1",
		"a: |\n  {b: n[1-3]}\n\n  *\nb: [1]", "- a: >\n    @all *\n    {n[1]\n  b: 1", "a: \"x {n[1]\n  n[2] y\"", "a: n1!n2\nb: n1 & n2", "{a: b*, c: <pid>/stat*}",
	} {
		if err := strict.Parse("f", []byte(good)).Err(); err != nil {
			t.Errorf("%q: %v", good, err)
		}
		// The last line is wrong.
		err := strict.Parse("f", []byte(good+"\n\"")).Err()
		if err == nil || strings.Contains(err.Error(), "quote it") || !strings.Contains(err.Error(), "this is no YAML") {
			t.Errorf("%q: %v", good, err)
		}
	}
	// What stands behind is read.
	doc := strict.Parse("f", []byte("a: !n2\nb: &x\nc: [!n3, &y]\nd: 1\ne: &z 1\n"))
	var read []string
	doc.Root().Entries("", func(key, value strict.Value) {
		k, _ := key.Text()
		value.Texts(func(_ strict.Value, text string) { read = append(read, k+"="+text) })
	})
	if got := strings.Join(read, " "); got != "a=!n2 b=&x c=!n3 c=&y d=1" {
		t.Errorf("read %s", got)
	}
	if err := doc.Err(); err == nil || strings.Count(err.Error(), "quote it") != 4 || strings.Count(err.Error(), "anchors, aliases") != 1 {
		t.Error(err)
	}
	// Both are said where quotes are not all that is missing.
	err := strict.Parse("f", []byte("- {nodes: n[1-3]}\n- {nodes: m[1-3], a: b\n")).Err()
	if err == nil || strings.Count(err.Error(), "quote it") != 2 || !strings.Contains(err.Error(), "this is no YAML") {
		t.Error(err)
	}
}
