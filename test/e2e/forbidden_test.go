package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
)

// What somebody might try to get at more than their view, each refused. What is
// tried on the wire itself (n_uname, forged unames, certificates) is in package
// ninep.
func TestAttempts(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "views: [{users: \"1001\", nodes: n1}]\n")
	alice := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
	client := s.client(t.Context())
	for _, aname := range []string{
		"/users/1002", "/users/root", "/users/0", "/sets/n2", "/sets/n[1-2]", "/sets/head", "/sets/n1/users/1002", "/nodes/n2", "/nodes/head", "/..", "/sets/..",
		"snapshot/nodes/n2", "snapshot/sets/n2", "snapshot/users/1002", "/timens/1/sets/n2",
	} {
		if _, err := client.Attach(t.Context(), alice, aname); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("attach %s: %v", aname, err)
		}
	}
	// The tree of a node of hers is, as nodes/n1 is, of her processes; its snapshots are
	// of all, and root's.
	if _, err := client.Attach(t.Context(), alice, "snapshot/nodes/n1"); vfs.Errno(err) != syscall.EACCES {
		t.Errorf("attach to the snapshots of a node: %v", err)
	}
	node, err := client.Attach(t.Context(), alice, "/nodes/n1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.(vfs.Dir).Walk(t.Context(), "1"); vfs.Errno(err) != syscall.ENOENT {
		t.Errorf("root's process below the tree of a node: %v", err)
	}
	root, err := client.Attach(t.Context(), alice, "")
	if err != nil {
		t.Fatal(err)
	}
	mine := map[int]bool{}
	lookForMine := func() {
		for line := range strings.Lines(s.onNode(s.cluster.Nodes[0], "ps", "-eo", "pid=,uid=")) {
			if f := strings.Fields(line); f[1] == "1001" {
				pid, _ := strconv.Atoi(f[0])
				mine[10_000_000+pid] = true
			}
		}
	}
	lookForMine()
	var others []int // found, and not known to be alice's
	// Every gpid of the pids that the nodes have given out, on every node there
	// could be; and the ends of each node's part of the space.
	dir := root.(vfs.Dir)
	found := 0
	for index := range 214 {
		pids := []int{1, 4194304, 4194305, 9999999}
		if index < 4 {
			for pid := range 150 {
				pids = append(pids, pid)
			}
		}
		for _, pid := range pids {
			g := index*10_000_000 + pid
			_, err := dir.Walk(t.Context(), strconv.Itoa(g))
			switch {
			case err == nil && !mine[g]:
				others = append(others, g)
			case err == nil:
				found++
			case vfs.Errno(err) != syscall.ENOENT:
				t.Errorf("%d: %v", g, err)
			}
		}
	}
	lookForMine() // some have started meanwhile
	for _, g := range others {
		if !mine[g] {
			t.Errorf("there is a process %d", g)
		}
	}
	if found < len(mine)/2 || found == 0 {
		t.Errorf("%d of %d own processes were found", found, len(mine))
	}

	mount := s.mountShared()
	as := func(argv ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: cluster.Alice, Gid: cluster.Alice}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	own := ""
	for g := range mine {
		own = filepath.Join(mount, strconv.Itoa(g))
		if _, err := os.Lstat(own); err == nil {
			break
		}
	}
	for name, want := range map[string]string{
		strings.Repeat("x", 255): "No such file", strings.Repeat("x", 256): "File name too long", "\xff\xfe": "No such file",
		"nodes/n2": "No such file", "nodes/../nodes/n2": "No such file", "n1:1": "No such file", "n2:1": "No such file", "users/1002": "No such file",
	} {
		if out, err := as("stat", filepath.Join(mount, "cluster")+"/../"+name); err == nil || !strings.Contains(out, want) {
			t.Errorf("%.20q: %v: %s", name, err, out)
		}
	}
	// A link names a file of the process's node; followed here it leads to the
	// head's file of that name, with the rights that alice has there anyway.
	link, err := os.Readlink(own + "/root")
	if err != nil || link != "/" {
		t.Fatalf("root is %q, %v", link, err)
	}
	if out, err := as("cat", own+"/root/etc/shadow"); err == nil {
		t.Errorf("shadow was read through a link: %d bytes", len(out))
	}
	if out, err := as("ls", own+"/root/proc/1/fd"); err == nil {
		t.Errorf("a process of root's was read through a link: %s", out)
	}
	// The mount cannot be written, by root neither.
	for _, path := range []string{own + "/oom_score_adj", own + "/comm", filepath.Join(mount, "nodes/n1/sys/kernel/hostname"), filepath.Join(mount, "new")} {
		if err := os.WriteFile(path, []byte("1"), 0o644); !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s was written: %v", path, err)
		}
	}
}
