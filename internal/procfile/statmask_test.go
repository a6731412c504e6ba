package procfile

import (
	"bytes"
	"strings"
	"testing"
)

// Stat files of one moment, as root reads them and as everybody else does. That
// the kernel still does so is tried in package procfs9p.
var maskedStats = map[string]struct{ full, masked string }{
	"a process": {
		"812 (sleep) S 795 812 795 34816 812 4194304 102 0 0 0 0 0 0 0 20 0 1 0 5342 5816320 229 18446744073709551615 " +
			"94231186653184 94231186668521 140729424186160 0 0 0 0 0 0 1 0 0 17 1 0 0 0 0 0 94231186680112 94231186681472 " +
			"94231208361984 140729424190043 140729424190054 140729424190054 140729424191465 0\n",
		"812 (sleep) S 795 812 795 34816 812 4194304 102 0 0 0 0 0 0 0 20 0 1 0 5342 5816320 229 18446744073709551615 " +
			"1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
	},
	"a zombie with a name": {
		"813 (a) S 1 (b\n) Z 795 812 795 34816 812 4194304 102 0 0 0 0 0 0 0 20 0 1 0 5342 0 0 18446744073709551615 " +
			"0 0 0 0 0 0 0 0 0 1 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 256\n",
		"813 (a) S 1 (b\n) Z 795 812 795 34816 812 4194304 102 0 0 0 0 0 0 0 20 0 1 0 5342 0 0 18446744073709551615 " +
			"0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
	},
}

func TestMaskStat(t *testing.T) {
	for name, c := range maskedStats {
		got, ok := maskStat([]byte("before "), []byte(c.full))
		if !ok || string(got) != "before "+c.masked {
			t.Errorf("%s: %v, %q", name, ok, got)
		}
		for what, wrong := range map[string]string{
			"cut":          c.full[:len(c.full)-2],
			"longer":       strings.TrimSuffix(c.full, "\n") + " 0\n",
			"no name":      strings.ReplaceAll(c.full, ")", "]"),
			"two blanks":   strings.Replace(c.full, " 795 ", "  ", 1),
			"no number":    strings.Replace(c.full, "5342", "53x2", 1),
			"no end":       strings.TrimSuffix(c.full, "\n"),
			"empty":        "",
			"nothing else": "1 (x) ",
		} {
			if got, ok := maskStat(nil, []byte(wrong)); ok || got != nil {
				t.Errorf("%s, %s: %q", name, what, got)
			}
		}
	}
}

// FuzzMaskStat: what is accepted has as many fields as before, none of the
// masked ones, and is its own masked form.
func FuzzMaskStat(f *testing.F) {
	for _, c := range maskedStats {
		f.Add([]byte(c.full))
	}
	f.Fuzz(func(t *testing.T, full []byte) {
		masked, ok := maskStat(nil, full)
		if !ok {
			if masked != nil {
				t.Fatalf("refused, and yet %q", masked)
			}
			return
		}
		head := bytes.LastIndex(full, []byte(") ")) + 2
		if !bytes.Equal(masked[:head], full[:head]) || bytes.LastIndex(masked, []byte(") "))+2 != head {
			t.Fatalf("%q changed the name to %q", full, masked)
		}
		before, after := strings.Split(string(full[head:]), " "), strings.Split(string(masked[head:]), " ")
		if len(before) != len(after) {
			t.Fatalf("%d fields, of %d", len(after), len(before))
		}
		for i := range after {
			field := i + statState
			got := strings.TrimSuffix(after[i], "\n")
			memory := field <= statEndCode && maskedStat[field] && before[statVsize-statState] != "0"
			switch {
			case memory && got != "1", !memory && maskedStat[field] && got != "0", !maskedStat[field] && after[i] != before[i]:
				t.Fatalf("field %d is %q, was %q", field, after[i], before[i])
			}
		}
		again, ok := maskStat(nil, masked)
		if !ok || !bytes.Equal(again, masked) {
			t.Fatalf("masked twice: %v, %q", ok, again)
		}
	})
}
