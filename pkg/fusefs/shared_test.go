package fusefs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/fusefs/caller"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// as runs a shell command as a user.
func as(uid, gid uint32, groups []uint32, command string) (string, error) {
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// open lets everybody reach a test's directory.
func open(t *testing.T, dir string) {
	t.Helper()
	for d := filepath.Dir(dir); d != "/" && d != "/tmp"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestShared: everyone sees their own tree and nothing of another's, however
// the kernel could mix them up.
func TestShared(t *testing.T) {
	tree := vfstest.NewTree()
	long := vfstest.Stat{Keep: time.Hour}
	only := func(uid uint32) vfstest.Stat { return vfstest.Stat{Keep: time.Hour, Only: []uint32{uid}} }
	tree.Put("common", vfstest.File{Stat: long, Read: vfstest.PerUser("for %d"), Hold: time.Hour})
	tree.Put("1001/secret", vfstest.File{Stat: long, Data: []byte("of 1001"), Hold: time.Hour})
	tree.Put("1001", vfstest.Dir{Stat: only(1001), MissingKeep: time.Hour})
	tree.Put("1001/secret", vfstest.File{Stat: long, Data: []byte("of 1001"), Hold: time.Hour})
	tree.Put("1002", vfstest.Dir{Stat: only(1002)})
	tree.Put("", vfstest.Dir{Stat: long, MissingKeep: time.Hour})
	tree.Allow(func(who vfs.Identity) error {
		if who.UID == 1003 {
			return syscall.EACCES
		}
		return nil
	})
	dir, s := mounted(t, tree, Config{Shared: true})
	open(t, dir)
	var wg sync.WaitGroup
	for _, uid := range []uint32{1001, 1002, 1001, 1002} {
		wg.Go(func() {
			for range 10 {
				got, err := as(uid, uid, nil, fmt.Sprintf("cat %[1]s/common; echo; ls %[1]s", dir))
				if want := fmt.Sprintf("for %d\n%d\ncommon\n", uid, uid); got != want || err != nil {
					t.Errorf("uid %d: %q, %v, not %q", uid, got, err, want)
				}
				got, err = as(uid, uid, nil, fmt.Sprintf("cat %s/1001/secret", dir))
				if uid == 1001 && got != "of 1001" || uid != 1001 && (err == nil || !strings.Contains(got, "No such file")) {
					t.Errorf("uid %d reads the file of 1001: %q, %v", uid, got, err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := as(1003, 1003, nil, "ls "+dir); err == nil || !strings.Contains(got, "Permission denied") {
		t.Errorf("uid 1003, who may not attach: %q, %v", got, err)
	}
	if n := s.fs.viewers.held.Len(); n != 2 {
		t.Errorf("%d identities are held, not 2", n)
	}
}

// TestGroups: a shared mount knows the caller's groups, another one its owner's.
func TestGroups(t *testing.T) {
	var mu sync.Mutex
	seen := map[uint32]vfs.Identity{}
	tree := vfstest.NewTree()
	dir := t.TempDir()
	open(t, dir+"/x")
	s, err := Mount(dir, Config{Shared: true, Attach: func(ctx context.Context, who vfs.Identity) (vfs.Node, error) {
		mu.Lock()
		defer mu.Unlock()
		seen[who.UID] = who
		return tree.Attach(ctx, who, "")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if out, err := as(1001, 1001, []uint32{2002, 1001, 2001}, "ls "+dir); err != nil {
		t.Errorf("%s, %v", out, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := (vfs.Identity{UID: 1001, GID: 1001, Groups: []uint32{2001, 2002}}); !seen[1001].Equal(want) {
		t.Errorf("attached as %+v, not %+v", seen[1001], want)
	}
	if groups, err := caller.ReadGroups("/proc", uint32(os.Getpid())); err != nil {
		t.Errorf("own groups: %v, %v", groups, err)
	}
	if _, err := caller.ReadGroups("/proc", 1<<31-1); err == nil {
		t.Error("groups of nobody")
	}
}

// TestOwner: a mount for one user is closed to all others, root included.
func TestOwner(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Put("f", vfstest.File{Read: vfstest.PerUser("for %d")})
	dir, _ := mounted(t, tree, Config{Owner: vfs.Identity{UID: 1001, GID: 1001}})
	open(t, dir)
	if got, err := as(1001, 1001, nil, "cat "+dir+"/f"); got != "for 1001" {
		t.Errorf("the owner: %q, %v", got, err)
	}
	if got, err := as(1002, 1002, nil, "cat "+dir+"/f"); err == nil {
		t.Errorf("another user: %q", got)
	}
	if _, err := os.ReadFile(dir + "/f"); !errors.Is(err, syscall.EACCES) {
		t.Errorf("root: %v", err)
	}
}

func TestPermitted(t *testing.T) {
	for _, c := range []struct {
		mode, uid, gid uint32
		groups         []uint32
		may            []uint32
	}{
		{mode: 0o100400, uid: 1, gid: 9, may: []uint32{0, mayRead}},
		{mode: 0o100400, uid: 0, gid: 0, may: []uint32{0, mayRead}},
		{mode: 0o100500, uid: 0, gid: 0, may: []uint32{0, mayExecute, mayRead, mayRead | mayExecute}},
		{mode: 0o100044, uid: 1, gid: 2, may: []uint32{0}}, // the owner's bits come first
		{mode: 0o100040, uid: 3, gid: 2, may: []uint32{0, mayRead}},
		{mode: 0o100040, uid: 3, gid: 3, groups: []uint32{2}, may: []uint32{0, mayRead}},
		{mode: 0o100004, uid: 3, gid: 2, may: []uint32{0}},
		{mode: 0o100004, uid: 3, gid: 3, may: []uint32{0, mayRead}},
		{mode: 0o040500, uid: 3, gid: 3, may: []uint32{0}},
		{mode: 0o040000, uid: 0, gid: 0, may: []uint32{0, mayExecute, mayRead, mayRead | mayExecute}},
	} {
		a := vfs.Attr{Mode: c.mode, UID: 1, GID: 2}
		for mask := range uint32(8) {
			ok := permitted(a, mask, c.uid, c.gid, c.groups).Ok()
			if ok != slices.Contains(c.may, mask) {
				t.Errorf("%+v, mask %d: %v", c, mask, ok)
			}
		}
	}
}
