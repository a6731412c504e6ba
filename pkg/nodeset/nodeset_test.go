package nodeset_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

func parse(t *testing.T, text string) nodeset.Set {
	t.Helper()
	s, err := nodeset.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, names, folded string }{
		{"n1", "n1", "n1"},
		{"n[001-003,40]", "n40 n001 n002 n003", "n[40,001-003]"},
		{" a1 , b[ 2-3 , 5 ] ", "a1 b2 b3 b5", "a1,b[2-3,5]"},
		{"r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2", "r[1-2]n[1-2]"},
		{"r[1-2]n[1-2],r[3-4]n[1-2],r5n3", "r1n1 r1n2 r2n1 r2n2 r3n1 r3n2 r4n1 r4n2 r5n3", "r[1-4]n[1-2],r5n3"},
		{"r1n[1-3],r2n1,r2n2,r2n3,r3n1", "r1n1 r1n2 r1n3 r2n1 r2n2 r2n3 r3n1", "r[1-2]n[1-3],r3n1"},
		{"n[1-10/3]", "n1 n4 n7 n10", "n[1,4,7,10]"},
		{"n[01-03] , n05\r\nn07,,n1,\n", "n1 n01 n02 n03 n05 n07", "n[1,01-03,05,07]"},
		{"n[098-101]", "n098 n099 n100 n101", "n[098-101]"},
		{"n[08-11,098-101]", "n08 n09 n10 n11 n098 n099 n100 n101", "n[08-11,098-101]"},
		{"n[09-101]!n[11-99]", "n09 n10 n100 n101", "n[09-10,100-101]"},
		{"n[1-5] & n[4-9],a1 ^ n[5-6]", "a1 n4 n6", "a1,n[4,6]"},
		{"n1[8-11]", "n18 n19 n110 n111", "n[18-19,110-111]"},
		{"n[0-00]", "n0", "n0"},
		{"n[1- 3]", "n1 n2 n3", "n[1-3]"},
		{"n[8-11]", "n8 n9 n10 n11", "n[8-11]"},
		{"n[08-11]", "n08 n09 n10 n11", "n[08-11]"},
		{"n[098-999],n1000", "", "n[098-999,1000]"},
		{"n[1-2][3-4]", "n13 n14 n23 n24", "n[13-14,23-24]"},
		{"n10,n9,n2,a,b,n,n2", "a b n n2 n9 n10", "a,b,n,n[2,9-10]"},
		{"[1-3]", "1 2 3", "[1-3]"},
		{"n1,n01,n001,n2", "n1 n2 n01 n001", "n[1-2,01,001]"},
		{"10.0.0.[1-3]", "10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.[1-3]"},
		{"n99999999999999999999,n99999999999999999998", "n99999999999999999998 n99999999999999999999",
			"n[99999999999999999998,99999999999999999999]"},
	} {
		s := parse(t, tt.text)
		if got := strings.Join(s.Names(), " "); tt.names != "" && got != tt.names {
			t.Errorf("%s: names %s, want %s", tt.text, got, tt.names)
		}
		if got := s.String(); got != tt.folded {
			t.Errorf("%s: folded %s, want %s", tt.text, got, tt.folded)
		}
		if again := parse(t, s.String()); !again.Equal(s) {
			t.Errorf("%s: %s is another set", tt.text, s)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		text   string
		offset int
		reason string
	}{
		{"", 0, "the nodeset is empty"},
		{" , ,", 0, "the nodeset is empty (an unset variable?); to mean all nodes leave it out"},
		{"n1!n1", 0, "no node is left of it"},
		{"n1,!n2", 3, "a name is missing before '!'"},
		{"n1 & ", 5, "a name is missing behind '&'"},
		{"n[1-2", 1, `"[" without "]"`},
		{"n[1-[2]", 1, `"[" without "]"`},
		{"n1]", 2, `"]" without "["`},
		{"n[]", 2, `"" is no number`},
		{"n[1,]", 4, `"" is no number`},
		{"n[a-b]", 2, `"a-b" is no number`},
		{"n[1-]", 2, `"1-" is no number`},
		{"n[-1]", 2, `"-1" is no number`},
		{"n[1-2-3]", 2, `"1-2-3" is no number`},
		{"n[1,3-2]", 4, "ends before it begins"},
		{"n[01-3]", 2, `"01-3" is 01 to 03 for Slurm, can be meant as 1 to 3, and is refused by ClusterShell; write 01-03 or 1-3`},
		{"n[1-003]", 2, `"1-003" is 1 to 3 for Slurm, can be meant as 001 to 003, and is refused by ClusterShell; write 1-3 or 001-003`},
		{"n[001-0100]", 2, `"001-0100" is 001 to 100 for Slurm, can be meant as 0001 to 0100, and`},
		{"n[01-100/3]", 2, `"01-100" has a step and ends of different widths, which neither`},
		{"n0[1-10]", 3, `behind the digits 0 the range "1-10" is 0 before each of its numbers for Slurm, 01 to 010, and can be meant as all from 01 to 10; write [01-10], or`},
		{"n1[8-11]x", 3, `behind the digits 1 the range "8-11" is 1 before each of its numbers for Slurm, 18 to 111, and can be meant as all from 18 to 111; write [18-111], or`},
		{"n[1, 02-03]", 4, `the blank before "02" is a zero for Slurm, which reads 002, and nothing for ClusterShell, which reads 02; leave it out`},
		{"n[1-9/0]", 2, `step of "1-9/0" is 0`},
		{"n[1/2]", 2, "has a step but is no range"},
		{"n[1-99999999999999999999]", 2, "too large"},
		{"-n", 0, `begin with '-'`},
		{"..", 0, `begin with '.'`},
		{"a/b", 1, `have a '/'`},
		{"a:1", 1, `have a ':'`},
		{"n1,@all", 3, `cannot have a '@': groups and wildcards are not known here; write the names, as`},
		{"n*", 1, `cannot have a '*': groups`},
		{"näh", 1, `have a 'ä'`},
		{"(null)", 0, `cannot begin with '('`},
		{"N/A", 1, `cannot have a '/'`},
		{"a,n[1-100000]", 2, "more than 100000 names"},
		{"n[1-1000]r[1-1000]", 0, "more than 100000 names"},
		{"n[0-999999999999999999]r[0-999999999999999999]x[0-999999999999999999]", 0, "more than 100000 names"},
		{strings.Repeat("n", 300), 0, "300 bytes, more than 244"},
		{strings.Repeat("n", 240) + "[1,10000]", 0, "245 bytes, more than 244"},
	} {
		_, err := nodeset.Parse(tt.text)
		var e *nodeset.Error
		if !errors.As(err, &e) {
			t.Errorf("%.40s: no error", tt.text)
		} else if e.Offset != tt.offset || !strings.Contains(e.Error(), tt.reason) {
			t.Errorf("%.40s: at %d: %v; want at %d: %s", tt.text, e.Offset, err, tt.offset, tt.reason)
		}
	}
}

func TestSet(t *testing.T) {
	var none nodeset.Set
	a, b := parse(t, "n[1-3,10]"), parse(t, "n[2-4],a1")
	union := a.Union(b)
	if got := union.String(); got != "a1,n[1-4,10]" {
		t.Errorf("union is %s", got)
	}
	if !union.Union(none).Equal(union) || !none.Union(union).Equal(union) {
		t.Error("the union with nothing is not the same")
	}
	for name, want := range map[string]bool{"n1": true, "n10": true, "n01": false, "a1": true, "n5": false, "": false} {
		if union.Contains(name) != want {
			t.Errorf("contains %q is not %v", name, want)
		}
	}
	if none.Len() != 0 || none.String() != "" || none.Contains("n1") || union.Len() != 6 {
		t.Errorf("lengths %d and %d", none.Len(), union.Len())
	}
	names := a.Names()
	names[0] = "changed"
	if a.Contains("changed") || !slices.Equal(slices.Collect(a.All()), []string{"n1", "n2", "n3", "n10"}) {
		t.Error("the set changed with what Names returned")
	}
}

func TestLargest(t *testing.T) {
	s := parse(t, "r[1-100]n[0001-1000]")
	if s.Len() != nodeset.MaxNames || s.String() != "r[1-100]n[0001-1000]" {
		t.Errorf("%d names, folded %.60s", s.Len(), s)
	}
}
