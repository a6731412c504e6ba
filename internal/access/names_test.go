package access

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// students may see one node's own processes, everybody else in the database all.
func restricting() Rules {
	return Rules{Views: []View{
		{For: []Principal{{Group, "students"}}, Nodes: Nodes{}, Processes: Processes{Own: true}, Place: "narrow"},
		{For: []Principal{{Group, "sub"}}, Nodes: Nodes{All: true}, Processes: Processes{All: true}, Place: "sub"},
		{For: []Principal{{Anyone, ""}}, Nodes: Nodes{All: true}, Processes: Processes{All: true}, Place: "wide"},
	}}
}

// A rule for a group is for whom the user database or the kernel has in it; "*" is for
// those in the database.
func TestGroupsAndAnyone(t *testing.T) {
	a := New(restricting(), people, nil)
	for _, tc := range []struct {
		who   vfs.Identity
		place string
	}{
		{user(1002), "narrow"},                       // who has dropped the group
		{user(1002, 50), "narrow"},                   // and has others
		{user(1002, 70), "narrow"},                   // and who has not
		{user(1001, 70), "narrow"},                   // by the kernel alone
		{user(1001), "wide"},                         //
		{user(4711), ""},                             // in no database
		{user(4711, 70), "narrow"},                   // but in the group, for the kernel
		{user(100005), ""},                           // a subordinate id
		{user(100005, 70), ""},                       // whatever its groups
		{user(1004), ""},                             // a subordinate id of bob's, whoever has it beside
		{user(1001, 100005), "wide"},                 // a subordinate group
		{user(vfs.OverflowID, 70), ""},               //
		{user(1001, vfs.NoID), "wide"},               //
		{vfs.Identity{UID: 1003, GID: 70}, "narrow"}, // by the primary group
	} {
		s := a.Scope(tc.who)
		if s.Place != tc.place || tc.place == "" && (s.AllNodes || s.Nodes.Len() > 0 || s.allProcesses) {
			t.Errorf("%v: %q by %q, want %q", tc.who, s.Place, s.Rule, tc.place)
		}
		if nobody := tc.who.UID == 100005 || tc.who.UID == 1004; nobody && (s.Sees(tc.who.UID) || !strings.Contains(s.Rule, "subordinate id of")) {
			t.Errorf("%v sees their own, by %q", tc.who, s.Rule)
		}
	}
	// An explicit number is nobody, too, if it is a subordinate id.
	a.SetRules(Rules{Admins: []Principal{{User, "100005"}}, Views: []View{{For: []Principal{{User, "100005"}, {User, "4711"}}, Nodes: Nodes{All: true}}}})
	if s := a.Scope(user(100005)); s.AllNodes {
		t.Errorf("a subordinate id is granted nodes by %q", s.Rule)
	}
	if s := a.Scope(user(4711)); !s.AllNodes {
		t.Errorf("a number that is named is granted nothing by %q", s.Rule)
	}
	// A certificate is no matter of ids.
	a.SetRules(Rules{Views: []View{{For: []Principal{{Certificate, "c"}}, Nodes: Nodes{All: true}}}})
	if s := a.Scope(vfs.Identity{UID: 100005, GID: 100005, Cert: "c"}); !s.AllNodes {
		t.Errorf("a certificate is granted nothing by %q", s.Rule)
	}
}

// Where the user database leaves open if a view is for somebody, no later view
// that grants more is theirs; the answer is not kept for long.
func TestUnsure(t *testing.T) {
	for name, tc := range map[string]struct {
		fails  string
		who    vfs.Identity
		place  string
		unsure bool
	}{
		"the group":                    {"students", user(1001), "narrow", true},
		"the group, by the kernel":     {"students", user(1001, 70), "narrow", true},
		"the user":                     {"1002", user(1002), "narrow", true},
		"the user's groups":            {"groups of bob", user(1002), "narrow", true},
		"groups that the kernel tells": {"groups of bob", user(1002, 70), "narrow", false},
		"somebody else":                {"groups of cy", user(1001), "wide", false},
	} {
		c := &clock{time.Unix(1_000_000, 0)}
		db := people
		db.fails = map[string]bool{tc.fails: true}
		a := New(restricting(), db, c.now)
		s := a.Scope(tc.who)
		if s.Place != tc.place || strings.Contains(s.Rule, "does not say") != tc.unsure || tc.unsure && (s.AllNodes || s.allProcesses || s.Sees(tc.who.UID)) {
			t.Errorf("%s: %q by %q", name, s.Place, s.Rule)
		}
		maps.DeleteFunc(db.fails, func(string, bool) bool { return true })
		c.t = c.t.Add(unsureAge)
		if a.Current(s) == tc.unsure {
			t.Errorf("%s: current afterwards: %v", name, a.Current(s))
		}
		if s := a.Scope(tc.who); strings.Contains(s.Rule, "does not say") {
			t.Errorf("%s: the answer stays: %s", name, s.Rule)
		}
	}
	// An administrator by a group that is not known now is none for now.
	db := people
	db.fails = map[string]bool{"ops": true}
	a := New(Rules{Admins: []Principal{{Group, "ops"}, {User, "cy"}}}, db, nil)
	if s := a.Scope(user(1003)); !s.AllNodes {
		t.Errorf("cy, an administrator by name, is %q", s.Rule)
	}
	if s := a.Scope(user(1001, 60)); s.AllNodes {
		t.Errorf("ann is %q", s.Rule)
	}
}
