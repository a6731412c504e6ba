package view

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newTestViews are those of nodes that are not connected.
func newTestViews(t *testing.T, names ...string) *Views {
	t.Helper()
	users := userdb.New(userdb.Config{})
	cfg := Config{Numbers: &gpid.Numbering{}, Users: users, Access: access.New(access.Rules{}, users, time.Now)}
	shared := proctable.NewShared(proctable.Config{Numbers: cfg.Numbers})
	for i, name := range append([]string{"head"}, names...) {
		cfg.Nodes = append(cfg.Nodes, proctable.New(t.Context(), shared, upstream.Config{
			Name: gpid.NodeName(name), Index: i, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		}, proctable.Traits{}))
	}
	return New(cfg)
}

// TestOneViewForAllSpellings: one set of nodes in all spellings of it, and one user by name and
// number, are one view; another identity or reader's clock has another.
func TestOneViewForAllSpellings(t *testing.T) {
	all := newTestViews(t, "n1", "n2", "n3", "n10")
	top := all.Of(vfs.Root, proctable.Host{})
	at := func(v *View, path string) *View {
		t.Helper()
		sub, err := v.At(t.Context(), path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return sub
	}
	for _, spellings := range [][]string{
		{"n[1-3]", "n[1,2,3]", "n1,n2,n3", "n3,n2,n1", "n1 n2\nn3", ",n1,,n[2-3],", "n1,n1,n[1-3]", "n[1-10]!n[4-10]", "n[1-3,10]&n[1-9]", "n[1-2]^n3"},
		{"n10", "n[10]", "n[10-10]", " n10 "},
		{"n[2-3]", "n3,n2", "n[1-3]!n1"},
	} {
		first := at(top, "/sets/"+spellings[0])
		for _, spelling := range spellings {
			if set := at(top, "/sets/"+spelling); set != first || set.ID != first.ID {
				t.Errorf("%q is another view than %q", spelling, spellings[0])
			}
		}
		ahead := all.Of(vfs.Root, proctable.Host{Boot: time.Unix(5, 0)})
		if at(ahead, "/sets/"+spellings[0]) == first {
			t.Error("readers with two clocks have one view")
		}
	}
	if all.Of(vfs.Identity{UID: 1, GID: 1}, proctable.Host{}) == top {
		t.Error("two identities have one view")
	}
	if at(top, "/users/root") != at(top, "/users/0") {
		t.Error("users/root and users/0 are two views")
	}
}

// TestViewsAreLetGo: views that nobody uses any more are forgotten.
func TestViewsAreLetGo(t *testing.T) {
	var nodes []string
	for i := range 8 {
		nodes = append(nodes, fmt.Sprintf("n%d", i))
	}
	all := newTestViews(t, nodes...)
	top := all.Of(vfs.Root, proctable.Host{})
	for i := 1; i < 1<<len(nodes); i++ {
		var set []string
		for k, name := range nodes {
			if i>>k&1 == 1 {
				set = append(set, name)
			}
		}
		if _, err := top.Set(strings.Join(set, ",")); err != nil {
			t.Fatal(err)
		}
	}
	remembered := func() int {
		all.shared.mu.Lock()
		defer all.shared.mu.Unlock()
		return len(all.shared.views)
	}
	const most = 8 // the top, and what the compiler keeps
	for deadline := time.Now().Add(20 * time.Second); remembered() > most; time.Sleep(10 * time.Millisecond) {
		if runtime.GC(); time.Now().After(deadline) {
			t.Fatalf("%d views are remembered", remembered())
		}
	}
	runtime.KeepAlive(top)
}
