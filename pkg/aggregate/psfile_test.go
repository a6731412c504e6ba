package aggregate

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// cluster/ps has a line for each process of the view, which says what its files say, and
// no other; it is read in pieces of any size, and again from its start.
func TestClusterPS(t *testing.T) {
	c := newTestCluster(t, Config{Access: authority(ownEverywhere)}, "n1")
	cmd := exec.Command("sleep", "1000")
	cmd.Args = []string{"sl\x1b[31m e\nep", "1000"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1, Gid: 1}}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	mine, theirs := cmd.Process.Pid, sleeper(t, 2)
	root := rootOf(t, c, vfs.Root, "")
	find := func(text string, node string, pid int) []string {
		for line := range strings.Lines(text) {
			if f := strings.Fields(line); f[0] == node && f[1] == strconv.Itoa(pid) {
				return f
			}
		}
		return nil
	}
	text := read(t, root, "cluster", "ps")
	if lines := strings.Split(text, "\n"); strings.Fields(lines[0])[0] != "NODE" || len(lines) < 2*3 {
		t.Errorf("%d lines, the first is %q", len(lines), lines[0])
	}
	for node, base := range map[string]int{"head": 0, "n1": gpid.Stride} {
		f := find(text, node, mine)
		if f == nil {
			t.Errorf("%s:%d is missing", node, mine)
			continue
		}
		status := read(t, root, strconv.Itoa(base+mine), "status")
		_, ppid, _ := strings.Cut(status, "\nPPid:\t")
		ppid, _, _ = strings.Cut(ppid, "\n")
		start, err := time.Parse(time.RFC3339, f[9])
		if f[2] != strconv.Itoa(base+mine) || f[3] != ppid || !strings.Contains("RS", f[5]) || err != nil || start.Sub(began).Abs() > 3*time.Second {
			t.Errorf("%q, the parent is %s, it began at %v", f, ppid, began)
		}
		if command := strings.Join(f[10:], " "); command != `sl\033[31m e\nep 1000` {
			t.Errorf("command %q", command)
		}
	}
	user := rootOf(t, c, vfs.Identity{UID: 1, GID: 1}, "")
	own := read(t, user, "cluster", "ps")
	if find(own, "n1", mine) == nil || find(own, "n1", theirs) != nil || find(own, "n1", 1) != nil {
		t.Errorf("a user sees\n%s", own)
	}
	part := rootOf(t, c, vfs.Root, "/sets/n1")
	if text := read(t, part, "cluster", "ps"); find(text, "head", mine) != nil || find(text, "n1", mine) == nil {
		t.Error("a set has other nodes, or not its own")
	}
	// One user's alone, by number or name, for who may see them.
	of := read(t, root, "cluster", "ps-of", "1")
	if again := read(t, root, "cluster", "ps-of", "daemon"); find(of, "n1", mine) == nil || find(of, "n1", theirs) != nil || find(of, "head", 1) != nil || find(again, "n1", mine) == nil {
		t.Errorf("of one user there are\n%s", of)
	}
	if find(of, "n1", mine)[3] == "0" {
		t.Error("their parent is hidden from root")
	}
	if text := read(t, user, "cluster", "ps-of", "1"); find(text, "n1", mine) == nil {
		t.Errorf("a user sees of their own\n%s", text)
	}
	for who, name := range map[vfs.Dir]string{user: "2", root: "nosuch"} {
		if _, err := vfs.ReadFile(t.Context(), who, 1<<20, "cluster", "ps-of", name); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("of %s: %v", name, err)
		}
	}
	// In pieces, ahead, and back.
	h, _, err := vfs.OpenPath(t.Context(), root, "cluster", "ps")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var pieces []byte
	for size := 1; ; size = size*3%1000 + 1 {
		buf := make([]byte, size)
		n, err := h.ReadAt(t.Context(), buf, int64(len(pieces)))
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		pieces = append(pieces, buf[:n]...)
	}
	whole := make([]byte, len(pieces)+100)
	if n, err := h.ReadAt(t.Context(), whole, 0); err != nil || string(whole[:n]) != string(pieces) {
		t.Errorf("%d bytes in pieces, %d at once, %v", len(pieces), n, err)
	}
}
