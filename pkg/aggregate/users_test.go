package aggregate

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// noted is a user database that notes the names that clients choose; "busy" is one too
// many.
type noted struct {
	access.Names
	mu    sync.Mutex
	names []string // guarded by mu
}

func (n *noted) Requested(ctx context.Context, account uint32, name string) (uint32, error) {
	n.mu.Lock()
	n.names = append(n.names, fmt.Sprint(account, " ", name))
	n.mu.Unlock()
	if name == "busy" {
		return 0, userdb.ErrBusy
	}
	return n.Names.Requested(ctx, account, name)
}

// Names of users are looked up on the account of who chose them, and not at all for whom
// no node exists.
func TestNamesOfUsers(t *testing.T) {
	db := &noted{Names: userdb.New(userdb.Config{})}
	c := newTestCluster(t, Config{Names: db, Access: access.New(access.Rules{Views: []access.View{
		{For: []access.Principal{{Kind: access.User, Name: "1"}}, Nodes: access.Nodes{All: true}, Processes: access.Processes{All: true}},
	}}, db, nil)}, "n1")
	stranger := rootOf(t, c, uid(4000), "")
	for _, path := range [][]string{{"users", "daemon"}, {"users", "4000"}, {"users", "x1"}, {"sets", "n1"}, {"sets", "users"}} {
		absent(t, stranger, path...)
	}
	if _, err := c.Attach(t.Context(), uid(4000), "/users/daemon"); vfs.Errno(err) != syscall.ENOENT {
		t.Errorf("attach: %v", err)
	}
	if len(db.names) > 0 {
		t.Errorf("looked up for whom nothing exists: %q", db.names)
	}
	root := rootOf(t, c, uid(1), "")
	absent(t, root, "users", "no-such-user")
	if _, _, err := vfs.WalkPath(t.Context(), root, "users", "busy"); vfs.Errno(err) != syscall.EAGAIN {
		t.Errorf("one name too many: %v", err)
	}
	byName, byNumber := walkDir(t, root, "users", "daemon"), walkDir(t, root, "users", "1")
	if byName.ID() != byNumber.ID() {
		t.Errorf("daemon is %d, and 1 is %d", byName.ID(), byNumber.ID())
	}
	if want := []string{"1 no-such-user", "1 busy", "1 daemon", "1 1"}; !slices.Equal(db.names, want) {
		t.Errorf("looked up %q, want %q", db.names, want)
	}
}
