package access

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/internal/spelling"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// book is a user database.
type book struct {
	users, groups map[string]uint32
	members       map[string][]uint32 // groups of a user beside their own
	fails         map[string]bool     // names and numbers of which it says nothing
}

var errHangs = errors.New("no answer within 2s")

func (b book) find(m map[string]uint32, name string) (string, uint32, error) {
	if b.fails[name] {
		return "", 0, errHangs
	}
	for n, id := range m {
		if n == name || number(id) == name {
			return n, id, nil
		}
	}
	return "", 0, userdb.ErrUnknown
}

func (b book) Requested(_ context.Context, _ uint32, name string) (uint32, error) {
	_, id, err := b.find(b.users, name)
	return id, err
}

func (b book) UserName(uid uint32) string {
	name, _, err := b.find(b.users, number(uid))
	if err != nil {
		return number(uid)
	}
	return name
}

func (b book) User(_ context.Context, name string) (userdb.User, error) {
	name, id, err := b.find(b.users, name)
	return userdb.User{Name: name, UID: id, GID: id}, err
}

func (b book) ByUID(ctx context.Context, uid uint32) (userdb.User, error) {
	return b.User(ctx, number(uid))
}

func (b book) Groups(_ context.Context, u userdb.User) ([]uint32, error) {
	if b.fails["groups of "+u.Name] {
		return nil, errHangs
	}
	return b.members[u.Name], nil
}

func (b book) Group(_ context.Context, name string) (uint32, error) {
	_, id, err := b.find(b.groups, name)
	return id, err
}

func (b book) Identity(ctx context.Context, name string) (vfs.Identity, error) {
	u, err := b.User(ctx, name)
	return vfs.Identity{UID: u.UID, GID: u.GID, Groups: b.members[u.Name]}, err
}

func (b book) NearestUser(_ context.Context, name string) string {
	return spelling.Nearest(name, slices.Collect(maps.Keys(b.users)))
}

// Subordinate has 100000 to 165535 be ann's, and 1004 bob's.
func (book) Subordinate(uid uint32) (string, bool) {
	switch {
	case 100000 <= uid && uid < 165536:
		return "ann", true
	case uid == 1004:
		return "bob", true
	}
	return "", false
}

func (b book) SubordinateGroup(gid uint32) (string, bool) { return b.Subordinate(gid) }

var people = book{
	users:   map[string]uint32{"root": 0, "ann": 1001, "bob": 1002, "cy": 1003, "dee": 1004, "nobody": vfs.OverflowID},
	groups:  map[string]uint32{"chem": 50, "ops": 60, "students": 70, "sub": 100005, "nogroup": vfs.OverflowID},
	members: map[string][]uint32{"bob": {70}},
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
		denied := tc.place == "x:1"
		for _, path := range []string{"12/environ", "12/task/34/environ", "12/task/12/environ/below"} {
			if s.Denies(path) != denied {
				t.Errorf("%v: %s is denied: %v", tc.who, path, !denied)
			}
		}
		if s.DeniesSome() != denied || s.Denies("12/status") || s.Denies("12/task/34/status") || s.Denies("12/task/34") {
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
