package proctable

import (
	"testing"

	"github.com/aggrfs/aggrfs/internal/procfile"
)

// Equal terminals of two nodes are two, and none is one of the head's; a node that lies about
// very many takes no numbers from the others.
func TestTerminals(t *testing.T) {
	var s Terminals
	pts := procfile.TTYNumber(136, 30)
	if s.Number(0, pts) != pts || s.Number(3, 0) != 0 {
		t.Error("a terminal of the head, or none, has another number")
	}
	one, two := s.Number(1, pts), s.Number(2, pts)
	if one == two || one == pts || s.Number(1, pts) != one {
		t.Errorf("pts/30 of two nodes are %d and %d", one, two)
	}
	for i := range int64(3 * maxTerminals) {
		n := s.Number(5, i+1)
		if major, minor := procfile.TTYDevice(n); n <= 0 || minor < firstTerminal || major > 0xfff {
			t.Fatalf("terminal %d has the number %d", i+1, n)
		}
	}
	if len(s.all) > maxTerminals+10 {
		t.Errorf("%d numbers were dealt", len(s.all))
	}
	three := s.Number(3, pts)
	for n, want := range map[int64]int64{one: pts, two: pts, three: pts, pts: pts} {
		if got := s.Native(n); got != want {
			t.Errorf("%d is %d on its node, want %d", n, got, want)
		}
	}
	if major, _ := procfile.TTYDevice(three); major != 136 {
		t.Errorf("the major number is %d", major)
	}
}
