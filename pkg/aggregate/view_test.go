package aggregate

import (
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// TestNobody: the processes that run as the user nobody belong to none of those
// who are nobody in particular.
func TestNobody(t *testing.T) {
	c := &Cluster{}
	for _, who := range []vfs.Identity{{UID: vfs.OverflowID, GID: vfs.OverflowID}, {UID: vfs.OverflowID, Cert: "x"}, {UID: vfs.NoID}} {
		for _, owner := range []uint32{0, 1, vfs.OverflowID} {
			if c.view(who).sees(owner) {
				t.Errorf("%+v sees processes of %d", who, owner)
			}
		}
	}
	if !c.view(vfs.Root).sees(vfs.OverflowID) || !c.view(vfs.Identity{UID: 1}).sees(1) {
		t.Error("root does not see all, or a user not their own")
	}
}
