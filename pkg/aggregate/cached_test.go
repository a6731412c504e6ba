package aggregate

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

func policy(t testing.TB, rules string) *cachepolicy.Policy {
	t.Helper()
	p, err := cachepolicy.Parse("policy", []byte("version: 1\nrules:\n"+rules))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	swept    = "- {match: \"<pid>/{stat,statm,status,cmdline}\", cache: 1h, prefetch: true}\n"
	keepComm = swept + "- {match: \"<pid>/comm\", cache: 1h}\n"
)

// A file that the policy lets be held is held, for each reader by themselves; one
// that it does not is read each time; and another policy is in force at once.
func TestCachedByPolicy(t *testing.T) {
	c := newTestCluster(t, Config{Policy: policy(t, keepComm), Access: authority(ownEverywhere)}, "n1")
	cmd := exec.Command("sh", "-c", "read name; printf $name >/proc/self/comm; echo done; read end")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	root := rootOf(t, c, vfs.Root, "")
	names(t, root)
	dir := walkDir(t, root, strconv.Itoa(gpid.Stride+cmd.Process.Pid))
	before := read(t, dir, "comm")
	if _, err := in.Write([]byte("renamed\n")); err != nil {
		t.Fatal(err)
	}
	out.Read(make([]byte, 16))
	if got := read(t, dir, "comm"); got != before {
		t.Errorf("what is cached for an hour became %q", got)
	}
	if got := read(t, rootOf(t, c, vfs.Root, "/sets/n1"), strconv.Itoa(gpid.Stride+cmd.Process.Pid), "comm"); got != before {
		t.Errorf("by another way it is %q", got)
	}
	if table := read(t, root, "cluster", "policy"); !strings.Contains(table, "<pid>/comm") {
		t.Errorf("cluster/policy:\n%s", table)
	}
	absent(t, rootOf(t, c, uid(1), ""), "cluster", "policy")
	c.SetPolicy(policy(t, swept))
	if got := read(t, dir, "comm"); got != "renamed\n" {
		t.Errorf("after the policy has changed it is %q", got)
	}
}

// What is cached of one user is not another's.
func TestCachedForOneUser(t *testing.T) {
	c := newTestCluster(t, Config{
		Policy: policy(t, swept+"- {match: \"<pid>/environ\", cache: 1h, negative: 1h}\n"),
		Access: authority(everybodyEverywhere),
	}, "n1")
	g := strconv.Itoa(gpid.Stride + sleeper(t, 1))
	for range 2 {
		for who, ok := range map[uint32]bool{1: true, 2: false} {
			_, err := vfs.ReadFile(t.Context(), rootOf(t, c, uid(who), ""), 1<<20, g, "environ")
			if (err == nil) != ok {
				t.Errorf("environ of user 1's process, as user %d: %v", who, err)
			}
		}
	}
}
