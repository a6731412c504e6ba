package access

import (
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// TestScopeControl: who is nobody in particular acts on nothing, whatever a rule says.
func TestScopeControl(t *testing.T) {
	a := New(Rules{
		Admins:  []Principal{{Group, "ops"}, {Certificate, "boss"}},
		Control: Control{All: true},
		Views: []View{
			{For: []Principal{{Certificate, "scraper"}}, Nodes: Nodes{All: true}, Processes: Processes{All: true}, Control: Control{All: true}},
			{For: []Principal{{User, "ann"}}, Nodes: Nodes{All: true}, Control: Control{Own: true, Kinds: []string{"nice"}}},
			{For: []Principal{{Group, "students"}}, Nodes: Nodes{All: true}, Control: Control{All: true}},
			{For: []Principal{{Kind: Anyone}}, Nodes: Nodes{All: true}},
		},
	}, people, nil)
	for _, tc := range []struct {
		who  vfs.Identity
		want string
	}{
		{vfs.Root, "all"},
		{user(1002, 60), "all"},
		{user(1001), "own: nice"},
		{user(1002), "all"}, // of the group in the user database
		{user(1003), "none"},
		{user(9999), "none"},
		{user(vfs.OverflowID, 60, 70), "none"},
		{user(vfs.NoID), "none"},
		{user(100001, 60, 70), "none"}, // a subordinate id
		{vfs.Identity{UID: vfs.OverflowID, GID: vfs.OverflowID, Cert: "scraper"}, "none"},
		{vfs.Identity{UID: vfs.OverflowID, GID: vfs.OverflowID, Cert: "boss"}, "none"},
	} {
		if got := a.Scope(tc.who).Control(); got.String() != tc.want {
			t.Errorf("%+v: %s, want %s", tc.who, got, tc.want)
		}
	}
	if c := a.Scope(user(1001)).Control(); !c.Allows("nice") || !c.Allows("") || c.Allows("signal") {
		t.Error("ann may do other than her view says")
	}
	if c := a.Scope(user(1003)).Control(); c.Allows("") || !c.None() {
		t.Error("cy may do something")
	}
}
