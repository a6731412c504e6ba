package nodeset_test

import (
	"slices"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"n[001-032,40]", "a1,b[2-3]", "r[1-2]n[1-4]", "n[1-9/2]", "n[1-2][3-4]", "[0-10],n,n1,n01", "n[098-999],n1000",
		"n[1-", "n]", "n[1-99999999999999999999]", "r[1-1000]n[1-1000]", " a , b ", "n[09,9-10]x",
		"n[01-100]", "n1 n2\nn3,,", "n[1-9]!n[2-3]&n[3-5]^n4", "n1!n1", "n0[1-10]", "n1[8-11]x", "n[ 1 , 2]", "n[1- 3]", "!n1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := nodeset.Parse(text)
		if err != nil {
			return
		}
		names := s.Names()
		if len(names) == 0 || len(names) > nodeset.MaxNames || !slices.IsSortedFunc(names, nodeset.Compare) {
			t.Fatalf("%q: %d names", text, len(names))
		}
		for _, name := range names {
			if len(name) > nodeset.MaxName || !s.Contains(name) {
				t.Fatalf("%q: the name %q", text, name)
			}
		}
		again, err := nodeset.Parse(s.String())
		if err != nil || !again.Equal(s) {
			t.Fatalf("%q: folded %q: %v: %v", text, s.String(), again.Names(), err)
		}
	})
}
