package plaintext

import (
	"strings"
	"testing"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain é":        "plain é",
		"a\nb":           `a\nb`,
		"\x1b[31mred":    `\033[31mred`,
		`back\slash`:     `back\\slash`,
		"bad \xff utf8":  `bad \377 utf8`,
		"\u202eoverride": `\342\200\256override`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("Escape(%q) = %q, want %q", in, got, want)
		}
		if got := Unescape(want); got != in {
			t.Errorf("Unescape(%q) = %q, want %q", want, got, in)
		}
	}
}

// What Escape never writes is left alone.
func TestUnescapeOthers(t *testing.T) {
	for in, want := range map[string]string{
		`\`: `\`, `a\`: `a\`, `\q`: `\q`, `\12`: `\12`, `\400x`: `\400x`, `\+12`: `\+12`, `\1_2`: `\1_2`, `\\\`: `\\`, `\\\n`: "\\\n", `\101\n`: "A\n",
	} {
		if got := Unescape(in); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	got := string(Table([][]string{{"A", "LONG", "C"}, {"x y", "", "last \n one"}}))
	want := "A       LONG  C\n" + `x\040y  -     last \n one` + "\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// No cell, whatever it holds, makes a second line or a field too many.
func FuzzTable(f *testing.F) {
	f.Add("a", "b\nc")
	f.Add("\x1b]0;x\x07", "  ")
	f.Fuzz(func(t *testing.T, a, b string) {
		out := string(Table([][]string{{a, b, "end"}}))
		if strings.Count(out, "\n") != 1 || len(strings.Fields(out)) != 3 {
			t.Fatalf("%q", out)
		}
		if got := FromCell(strings.Fields(out)[0]); got != a && a != "-" || Unescape(Escape(a)) != a {
			t.Fatalf("%q comes back as %q", a, got)
		}
	})
}
