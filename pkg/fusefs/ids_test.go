package fusefs

import (
	"context"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"golang.org/x/sys/unix"
)

// Owners are told in the ids of the mount's user namespace, wherever they are told.
func TestIDs(t *testing.T) {
	ids := func(uid, gid uint32) (uint32, uint32) {
		if uid == 1001 {
			return 0, gid + 5
		}
		return 65534, gid + 5
	}
	for name, cfg := range map[string]Config{
		"ordinary": {}, "shared": {Shared: true},
		"prefetched": {Prefetched: &Prefetched{Interval: time.Hour, Generation: func() uint64 { return 0 }}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := vfstest.NewTree()
			stat := func(uid uint32) vfstest.Stat {
				return vfstest.Stat{Keep: time.Hour, UID: uid, GID: 2, Perm: 0o400}
			}
			dirStat := stat(1001)
			dirStat.Perm = 0o500
			tree.Put("1", vfstest.Dir{Stat: dirStat})
			tree.Put("1/own", vfstest.File{Stat: stat(1001), Data: []byte("x"), Hold: time.Hour})
			tree.Put("1/roots", vfstest.File{Stat: stat(0), Data: []byte("x"), Hold: time.Hour})
			cfg.IDs = ids
			dir, _ := mounted(t, tree, cfg)
			for _, round := range []string{"by name", "again", "listed"} {
				if round == "listed" {
					list(t, dir)
					list(t, dir+"/1")
				}
				for path, want := range map[string]uint32{"/1": 0, "/1/own": 0, "/1/roots": 65534} {
					st, err := os.Lstat(dir + path)
					if err != nil {
						t.Fatal(err)
					}
					if sys := st.Sys().(*syscall.Stat_t); sys.Uid != want || sys.Gid != 7 {
						t.Errorf("%s, %s: owner %d:%d, want %d:7", path, round, sys.Uid, sys.Gid, want)
					}
				}
			}
		})
	}
	// access(2) compares what the kernel says of a caller with what it was told of a file.
	tree := vfstest.NewTree()
	tree.Put("own", vfstest.File{Stat: vfstest.Stat{UID: 7, GID: 8, Perm: 0o440}})
	dir, _ := mounted(t, tree, Config{
		Owner: vfs.Identity{UID: 1001, GID: 1001, Groups: []uint32{8}},
		IDs:   func(uid, gid uint32) (uint32, uint32) { return uid + 1, gid + 1 },
	})
	open(t, dir)
	if out, err := as(1001, 1001, nil, "test -r "+dir+"/own"); err != nil {
		t.Errorf("the group of the owner may not read: %s, %v", out, err)
	}
	if _, err := as(1001, 1001, nil, "test -x "+dir+"/own"); err == nil {
		t.Error("what nobody may execute may be executed")
	}
}

// Where threads are of another namespace nobody is told of them, or asks about them.
func TestNoThreads(t *testing.T) {
	var asked, known atomic.Int64
	tree := vfstest.NewTree()
	tree.Put("f", vfstest.File{Data: []byte("x")})
	tree.Before(func(ctx context.Context, _ vfstest.Op, _ string) error {
		if _, ok := vfs.CallerOf(ctx); ok {
			known.Add(1)
		}
		return nil
	})
	dir, _ := mounted(t, tree, Config{
		Shared: true, NoThreads: true,
		Groups: func(uint32) ([]uint32, error) { asked.Add(1); return nil, nil },
	})
	expect(t, dir+"/f", "x")
	list(t, dir)
	if err := unix.Access(dir+"/f", unix.R_OK); err != nil {
		t.Error(err)
	}
	if asked.Load() != 0 || known.Load() != 0 {
		t.Errorf("groups were asked for %d times, a caller was known %d times", asked.Load(), known.Load())
	}
	other, _ := mounted(t, tree, Config{})
	expect(t, other+"/f", "x")
	if known.Load() == 0 {
		t.Error("no caller is known where threads are")
	}
}
