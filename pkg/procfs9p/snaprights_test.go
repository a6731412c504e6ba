package procfs9p

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"strconv"
	"testing"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// ownerReads are those of the zoo that their owner has ptrace read access to for
// certain. A zombie's files are root's, though the kernel asks no more whether it
// is dumpable.
var ownerReads = map[string]bool{
	"A's": true, "B's": true, "A's in another group": true, "A's with a group": true,
}

// TestSnapshotRights holds what a snapshot lets be given out against the kernel:
// where it says that the owner reads, the kernel shows the owner the stat file
// that root sees, and everybody else gets from the kernel what procfile.Mask makes of
// it, but for those who have ptrace access for a reason that a snapshot does not
// tell.
func TestSnapshotRights(t *testing.T) {
	pids := zoo(t)
	l := newLeaf(t, Config{})
	ids := maps.Clone(readers)
	ids["a stranger"] = vfs.Identity{UID: 1999, GID: 1999}
	table := sweep(t, l, snapshot.Request{Files: []string{"statm", "status", "stat"}})
	without := sweep(t, l, snapshot.Request{Files: []string{"stat"}})
	for who, id := range ids {
		natively := newOracle(t, "native", becomes(id), openDirectory(t, "/proc"))
		for name, pid := range pids {
			i, ok := table.Find(int32(pid))
			if !ok {
				t.Errorf("%s is not in the snapshot", name)
				continue
			}
			p := table.Proc(i)
			full, errno := table.File(i, 2)
			masked, ok := procfile.Mask("stat", full)
			if errno != 0 || !ok {
				t.Fatalf("%s: stat is %q, %v", name, full, errno)
			}
			seen := natively.look([]object{{Path: strconv.Itoa(pid) + "/stat", Type: vfs.TypeFile}})[0]
			isFull, isMasked := seen.Sum == sha256.Sum256(full), seen.Sum == sha256.Sum256(masked)
			owner := id.UID == p.UID && id.GID == p.GID
			switch {
			case p.OwnerReads != ownerReads[name]:
				t.Errorf("%s: the owner reads: %v", name, p.OwnerReads)
			case id.IsRoot() || owner && p.OwnerReads:
				if !isFull {
					t.Errorf("%s is not shown %s as root is:\n%q\n%s", who, name, seen.Start, full)
				}
			case who == "a stranger":
				if !isMasked {
					t.Errorf("%s is not shown %s masked so:\n%q\n%s", who, name, seen.Start, masked)
				}
			case !isFull && !isMasked:
				t.Errorf("%s is shown neither form of %s:\n%q", who, name, seen.Start)
			}
			if j, ok := without.Find(int32(pid)); !ok || without.Proc(j).OwnerReads {
				t.Errorf("%s: the owner reads, though nobody looked at status", name)
			}
			if full := bytes.Contains(full, []byte(" Z ")); full != (name == "zombie" || name == "without a leader") {
				t.Errorf("%s: is a zombie: %v", name, full)
			}
		}
	}
}

// TestHidePID finds the options of the very procfs that is read.
func TestHidePID(t *testing.T) {
	for options, want := range map[string]procfile.Options{
		"":                  {},
		"hidepid=1":         {HidePID: 1},
		"hidepid=invisible": {HidePID: 2},
		"gid=26,hidepid=2":  {HidePID: 2, GID: 26},
		"gid=26":            {GID: 26},
		"hidepid=4":         {HidePID: 4},
	} {
		l := newLeaf(t, Config{Root: mountProc(t, options)})
		f := sweep(t, l, snapshot.Request{Files: []string{"stat"}}).Facts()
		if got := (procfile.Options{HidePID: f.HidePID, GID: f.PIDGID}); got != want {
			t.Errorf("%q: %+v", options, got)
		}
	}
	s := newSpace(t)
	if got, err := newLeaf(t, Config{Root: s.proc}).options(); err != nil || got != (procfile.Options{}) {
		t.Errorf("in another namespace: %+v, %v", got, err)
	}
	s.do("mount -o remount,hidepid=2,gid=9 /proc; echo done")
	if got, err := newLeaf(t, Config{Root: s.proc}).options(); err != nil || got != (procfile.Options{HidePID: 2, GID: 9}) {
		t.Errorf("in another namespace, changed: %+v, %v", got, err)
	}
}

func TestMountOptions(t *testing.T) {
	const info = "22 27 0:21 / /proc rw,relatime - proc proc rw\n" +
		"30 27 0:50 / /mnt/a\\040b rw shared:1 master:2 - proc proc rw,gid=5,hidepid=invisible\n" +
		"31 27 0:50 / /mnt/c rw - tmpfs x rw,hidepid=1\n" +
		"32 27 0:51 / /mnt/d rw - proc proc rw,hidepid=later\n" +
		"33 27 0:52 / /mnt/e rw - proc proc rw,gid=x\n"
	for _, c := range []struct {
		id, dev string
		want    procfile.Options
		ok      bool
	}{
		{"22", "0:21", procfile.Options{}, true},
		{"30", "0:50", procfile.Options{HidePID: 2, GID: 5}, true},
		{"", "0:50", procfile.Options{HidePID: 2, GID: 5}, true}, // another mount of the same
		{"31", "0:50", procfile.Options{HidePID: 2, GID: 5}, true},
		{"32", "0:51", procfile.Options{HidePID: 4}, true},
		{"33", "0:52", procfile.Options{HidePID: 4}, true},
		{"34", "0:53", procfile.Options{}, false},
	} {
		if got, ok := (mount{c.id, c.dev}).options([]byte(info)); got != c.want || ok != c.ok {
			t.Errorf("%s %s: %+v, %v", c.id, c.dev, got, ok)
		}
	}
}
