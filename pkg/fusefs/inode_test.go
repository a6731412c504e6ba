package fusefs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// TestTakeBack gives back what an answer brought that came too late.
func TestTakeBack(t *testing.T) {
	var table inodes
	root := &inode{id: rootID}
	table.init(root, 0, nil, func(*inode) {})
	n, nobody := synthRoot{&synth{}}, &viewer{shares: new(shares)}
	i := table.enter(root, "a", n, false, nobody)
	if again := table.enter(root, "a", n, false, nobody); again != i || i.lookups != 2 {
		t.Errorf("the same name is another inode")
	}
	table.forget(i.id, 1)
	if table.get(i.id) != i {
		t.Error("forgotten too early")
	}
	table.forget(i.id, 5)
	table.forget(rootID, 5)
	if table.get(i.id) != nil || table.get(rootID) != root || table.size() != 1 {
		t.Error("not forgotten, or the root is")
	}
	if fresh := table.enter(root, "a", n, false, nobody); fresh.id == i.id {
		t.Error("a node id was used twice")
	}
}

// Whoever keeps the server from hearing what is forgotten makes it hold no more than a bound,
// over all mounts.
func TestMostInodes(t *testing.T) {
	const most = 50
	tree := vfstest.NewTree()
	for i := range 2 * most {
		tree.Put(fmt.Sprint(i), vfstest.File{Data: []byte("x")})
	}
	account := NewAccount(Limit{Requests: 100, Inodes: most, Bytes: 1 << 30})
	dir, s := mounted(t, tree, Config{Account: account})
	other, _ := mounted(t, tree, Config{Account: account})
	list(t, dir)
	var open []*os.File
	for i := range 2 * most {
		f, err := os.Open(fmt.Sprint(dir, "/", i))
		if errors.Is(err, syscall.ENFILE) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, f)
	}
	if n := s.fs.inodes.size(); n != most+1 || len(open) > most || account.inodes.now.Load() != most {
		t.Errorf("%d inodes, %d files are open, %d count", n, len(open), account.inodes.now.Load())
	}
	if _, err := os.ReadFile(fmt.Sprint(other, "/0")); !errors.Is(err, syscall.ENFILE) {
		t.Errorf("another mount on the account: %v", err)
	}
	for _, f := range open {
		f.Close()
	}
	wait.Until(t, "there is room again", func() bool {
		dropCaches(t)
		_, err := os.ReadFile(fmt.Sprint(dir, "/", 2*most-1))
		return err == nil
	})
}

// What is open counts, over all mounts, and nothing of it once the mounts have ended.
func TestMostBytes(t *testing.T) {
	const size, fit = 100 << 10, 3
	tree := vfstest.NewTree()
	for i := range 2 * fit {
		tree.Put(fmt.Sprint("dir/", i), vfstest.File{Data: make([]byte, size)})
	}
	account := NewAccount(Limit{Requests: 100, Inodes: 1 << 20, Bytes: (fit + 1) * size})
	for name, cfg := range map[string]Config{"one user's": {}, "shared": {Shared: true}} {
		t.Run(name, func(t *testing.T) {
			cfg.Account = account
			dir, s := mounted(t, tree, cfg)
			var open []*os.File
			for i := range 2 * fit {
				f, err := os.Open(fmt.Sprint(dir, "/dir/", i))
				if errors.Is(err, syscall.ENFILE) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				open = append(open, f)
			}
			if len(open) != fit {
				t.Errorf("%d files are open, and %d have room", len(open), fit)
			}
			for _, f := range open[1:] {
				f.Close()
			}
			wait.Until(t, "there is room again", func() bool {
				f, err := os.Open(fmt.Sprint(dir, "/dir/", fit))
				if err == nil {
					f.Close()
				}
				return err == nil
			})
			list(t, dir+"/dir")
			open[0].Close()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if bytes, inodes := account.bytes.now.Load(), account.inodes.now.Load(); bytes != 0 || inodes != 0 {
				t.Errorf("%d bytes and %d inodes count after the end", bytes, inodes)
			}
		})
	}
}

// openMany opens files until that fails, prints how many and why, and holds them until its input ends.
const openMany = `
import errno, os, sys
n, why, held = 0, "", []
for i in range(int(sys.argv[2])):
    try:
        held.append(os.open("%s/%d" % (sys.argv[1], i), os.O_RDONLY))
    except OSError as e:
        why = errno.errorcode[e.errno]
        break
print(len(held), why, flush=True)
sys.stdin.read()
`

// On a mount for all users what one has open, or looks up, counts on the account of that one, and
// reaching its bound is felt by nobody else.
func TestSharedAccounts(t *testing.T) {
	const size, files = 100 << 10, 20
	tree := vfstest.NewTree()
	for i := range files {
		tree.Put(fmt.Sprint("large/", i), vfstest.File{Data: make([]byte, size)})
		tree.Put(fmt.Sprint("small/", i), vfstest.File{Data: []byte("x")})
	}
	accounts := map[uint32]*Account{}
	var mu sync.Mutex
	dir, s := mounted(t, tree, Config{Shared: true, Accounts: func(who vfs.Identity) *Account {
		mu.Lock()
		defer mu.Unlock()
		a := accounts[who.UID]
		if a == nil {
			a = NewAccount(Limit{Requests: 100, Inodes: 12, Bytes: 5 * size})
			accounts[who.UID] = a
		}
		return a
	}})
	open(t, dir)
	for _, tc := range []struct {
		dir   string
		fewer int
	}{{"large", 5}, {"small", 12}} {
		cmd := exec.Command("python3", "-c", openMany, dir+"/"+tc.dir, fmt.Sprint(files))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1001, Gid: 1001}}
		cmd.Dir = "/"
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		var n int
		var why string
		if _, err := fmt.Fscan(out, &n, &why); err != nil || n == 0 || n >= tc.fewer || why != "ENFILE" {
			t.Errorf("%s: 1001 has %d open, and then %s, %v", tc.dir, n, why, err)
		}
		for i := range 2 {
			if got, err := as(1002, 1002, nil, fmt.Sprintf("wc -c < %s/large/%d", dir, files-1-i)); err != nil || got != fmt.Sprint(size)+"\n" {
				t.Errorf("%s: 1002 reads %q, %v", tc.dir, got, err)
			}
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		wait.Until(t, "what is closed does not count", func() bool {
			dropCaches(t)
			mu.Lock()
			defer mu.Unlock()
			return accounts[1001].bytes.now.Load() == 0
		})
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for uid, a := range accounts {
		if bytes, inodes := a.bytes.now.Load(), a.inodes.now.Load(); bytes != 0 || inodes != 0 {
			t.Errorf("%d: %d bytes and %d inodes count after the end", uid, bytes, inodes)
		}
	}
}
