package access

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/nodeset"
	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// book is a user database.
type book struct {
	users, groups map[string]uint32
}

func (b book) UID(name string) (uint32, bool) { return find(b.users, name) }
func (b book) GID(name string) (uint32, bool) { return find(b.groups, name) }

func find(m map[string]uint32, name string) (uint32, bool) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), true
	}
	id, ok := m[name]
	return id, ok
}

func (b book) UserName(uid uint32) string {
	for name, id := range b.users {
		if id == uid {
			return name
		}
	}
	return number(uid)
}

var people = book{
	users:  map[string]uint32{"root": 0, "ann": 1001, "bob": 1002, "cy": 1003, "nobody": vfs.OverflowID},
	groups: map[string]uint32{"chem": 50, "ops": 60, "nogroup": vfs.OverflowID},
}

func set(t *testing.T, expr string) nodeset.Set {
	t.Helper()
	s, err := nodeset.Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func user(uid uint32, groups ...uint32) vfs.Identity {
	return vfs.Identity{UID: uid, GID: uid, Groups: groups}
}

// clock is a time that stands still until it is moved.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestScope(t *testing.T) {
	environ, err := procpath.Compile("<pid>/environ")
	if err != nil {
		t.Fatal(err)
	}
	a := New(Rules{
		Admins: []Principal{{Group, "ops"}, {User, "cy"}},
		Views: []View{
			{For: []Principal{{Certificate, "scraper"}}, Nodes: Nodes{All: true}, Processes: Processes{All: true}, Deny: []*procpath.Pattern{environ}, Place: "x:1"},
			{For: []Principal{{User, "nosuch"}, {User, "nobody"}, {Group, "nogroup"}}, Nodes: Nodes{All: true}, Processes: Processes{All: true}},
			{For: []Principal{{Group, "chem"}}, Nodes: Nodes{Set: set(t, "n[1-2]")}, Processes: Processes{Own: true, Users: []string{"bob", "nosuch", "nobody"}}, Place: "x:2"},
			{For: []Principal{{User, "1001"}}, Nodes: Nodes{Set: set(t, "n9")}, Processes: Processes{Own: true}, Place: "x:3"},
		},
	}, people, nil)
	for _, tc := range []struct {
		who         vfs.Identity
		nodes       string // of n1 n2 n9 head, those that exist
		users       string // of 0 1001 1002 1003 65534, those that are seen
		place, rule string
	}{
		{vfs.Root, "n1 n2 n9 head", "0 1001 1002 1003 65534", "", "superuser"},
		{user(1003), "n1 n2 n9 head", "0 1001 1002 1003 65534", "", "user cy"},
		{user(1002, 60), "n1 n2 n9 head", "0 1001 1002 1003 65534", "", "group ops"},
		{user(1001, 50), "n1 n2", "1001 1002", "x:2", "group chem"},
		{user(1001), "n9", "1001", "x:3", "user 1001"},
		{user(1002), "", "1002", "", "no view"},
		{user(vfs.OverflowID), "", "", "", "no view"},
		{user(vfs.NoID), "", "", "", "no view"},
		{vfs.Identity{UID: 1002, GID: vfs.OverflowID}, "", "1002", "", "no view"},
		{vfs.Identity{UID: vfs.OverflowID, GID: vfs.OverflowID, Cert: "scraper"}, "n1 n2 n9 head", "0 1001 1002 1003 65534", "x:1", "certificate scraper"},
		{vfs.Identity{UID: vfs.OverflowID, GID: vfs.OverflowID, Groups: []uint32{50, 60}, Cert: "other"}, "", "", "", "no view"},
	} {
		s := a.Scope(tc.who)
		var nodes, users []string
		for _, n := range []string{"n1", "n2", "n9", "head"} {
			if s.HasNode(n) {
				nodes = append(nodes, n)
			}
		}
		for _, u := range []uint32{0, 1001, 1002, 1003, vfs.OverflowID} {
			if s.Sees(u) {
				users = append(users, number(u))
			}
		}
		if strings.Join(nodes, " ") != tc.nodes || strings.Join(users, " ") != tc.users || s.Place != tc.place || !strings.Contains(s.Rule, tc.rule) {
			t.Errorf("%v: nodes %v, users %v, by %q at %q", tc.who, nodes, users, s.Rule, s.Place)
		}
		if denied := tc.place == "x:1"; s.Denies("12/environ") != denied || s.DeniesSome() != denied || s.Denies("12/status") {
			t.Errorf("%v: denied files", tc.who)
		}
	}
}

// An allocation ends at its moment, for a scope that was already given, too.
func TestAllocationEnds(t *testing.T) {
	c := &clock{time.Unix(1_000_000, 0)}
	a := New(Rules{Views: []View{{
		For: []Principal{{Anyone, ""}}, Nodes: Nodes{Allocated: true, Set: set(t, "login")}, Processes: Processes{Own: true},
	}}}, people, c.now)
	ann := user(1001)
	before := a.Scope(ann)
	a.SetAllocations([]Allocation{
		{User: "ann", Nodes: set(t, "n[1-2]"), End: c.t.Add(10 * time.Second)},
		{User: "1001", Nodes: set(t, "n3")},
		{User: "bob", Nodes: set(t, "n4")},
		{User: "ann", Nodes: set(t, "n5"), End: c.t},
	})
	if a.Current(before) {
		t.Error("a scope from before the allocations is still good")
	}
	s := a.Scope(ann)
	if got := s.Nodes.String(); got != "login,n[1-3]" || !a.Current(s) || a.Scope(ann) != s {
		t.Errorf("ann has %s", got)
	}
	c.t = c.t.Add(10*time.Second - 1)
	if !a.Current(s) {
		t.Error("the scope ends before the allocation does")
	}
	c.t = c.t.Add(1)
	if got := a.Scope(ann).Nodes.String(); got != "login,n3" || a.Current(s) {
		t.Errorf("after the end ann has %s", got)
	}
	a.SetRules(Rules{})
	if got := a.Scope(ann); got.Nodes.Len() != 0 || got.AllNodes {
		t.Errorf("without views ann has %s", got.Nodes)
	}
	if a.SetRules(Rules{}); a.Current(s) {
		t.Error("an old scope came back")
	}
	// A certificate without a user has no allocations, whatever it is called.
	a.SetAllocations([]Allocation{{User: number(vfs.OverflowID), Nodes: set(t, "n7")}, {User: "nobody", Nodes: set(t, "n7")}})
	a.SetRules(Rules{Views: []View{{For: []Principal{{Certificate, "ann"}}, Nodes: Nodes{Allocated: true}}}})
	if s := a.Scope(vfs.Identity{UID: vfs.OverflowID, GID: vfs.OverflowID, Cert: "ann"}); s.Nodes.Len() > 0 {
		t.Errorf("nobody was allocated %s", s.Nodes)
	}
}

func TestParseAllocations(t *testing.T) {
	zone := time.FixedZone("there", 3600)
	got, err := ParseAllocations("t", []byte(`# squeue -h -t R -o "%u %N %e"
ann n[001-003] 2026-11-25T18:00:00
bob  n7   Unknown
bob  n8
1003 n9 1764000000
cy n1 2026-11-25T18:00:00Z
ann 2026-11-25T18:00:00
ann

`), zone)
	if err != nil {
		t.Fatal(err)
	}
	want := []Allocation{
		{"ann", set(t, "n[001-003]"), time.Date(2026, 11, 25, 17, 0, 0, 0, time.UTC)},
		{"bob", set(t, "n7"), time.Time{}},
		{"bob", set(t, "n8"), time.Time{}},
		{"1003", set(t, "n9"), time.Unix(1764000000, 0)},
		{"cy", set(t, "n1"), time.Date(2026, 11, 25, 18, 0, 0, 0, time.UTC)},
	}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if !got[i].equal(want[i]) {
			t.Errorf("line %d: %v, want %v", i, got[i], want[i])
		}
	}
	for text, place := range map[string]string{
		"ann n1\nbob n[1-\n": "t:2", "ann n1 soon\n": "t:1", "a b c d\n": "t:1: 4 columns",
		"ann n[1-99999]\nb m[1-99999]\nc n[1-999999999]": "t:3",
	} {
		if _, err := ParseAllocations("t", []byte(text), zone); err == nil || !strings.Contains(err.Error(), place) {
			t.Errorf("%q: %v, want one at %s", text, err, place)
		}
	}
}

func FuzzParseAllocations(f *testing.F) {
	f.Add([]byte("ann n[1-3] 2026-11-25T18:00:00\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := ParseAllocations("t", data, time.UTC)
		if err == nil && len(all) > 1+len(data) {
			t.Fatalf("%d allocations of %d bytes", len(all), len(data))
		}
	})
}
