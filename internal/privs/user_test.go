package privs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/wait"
	"golang.org/x/sys/unix"
)

// needed are the capabilities that cannot be done without.
const needed Set = 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID

// TestProcsrvAsItsUser starts it as the service manager does: a user of its
// own, with ambient capabilities.
func TestProcsrvAsItsUser(t *testing.T) {
	d := start(t, daemonUID, needed, "procsrv", "--listen", "unix:DIR/s")
	d.checkThreads(t, needed, needed)
	if n := strings.Count(d.log.String(), "without CAP_"); n != len(Leaf())-4 || strings.Contains(d.log.String(), "WARN") {
		t.Errorf("%d are said to be missing: %s", n, d.log.String())
	}
	d.serveUser(t)
	d.checkThreads(t, needed, needed)
}

// TestMoreThanNeeded gives it what it has no use for.
func TestMoreThanNeeded(t *testing.T) {
	more := needed | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SETPCAP | 1<<unix.CAP_SYS_NICE
	d := start(t, daemonUID, more, "procsrv", "--listen", "unix:DIR/s")
	kept := needed | 1<<unix.CAP_SYS_NICE
	d.checkThreads(t, kept, kept)
}

// TestWithNothing is root of a container that gives nothing: what that costs is
// said.
func TestWithNothing(t *testing.T) {
	d := start(t, 0, 0, "procsrv", "--listen", "unix:DIR/s")
	d.checkThreads(t, 0, 0)
	if n := strings.Count(d.log.String(), "level=WARN msg=\"without CAP_"); n != 4 {
		t.Errorf("%d warnings: %s", n, d.log.String())
	}
}

// TestAggrfsAsItsUser serves a node and the head node's own /proc, and keeps its
// state file.
func TestAggrfsAsItsUser(t *testing.T) {
	leaf := start(t, daemonUID, needed, "procsrv", "--insecure", "--listen", "unix:DIR/s", "--listen", "tcp:127.0.0.1:0")
	address := regexp.MustCompile(`listen=(tcp:127\.0\.0\.1:\d+)`).FindStringSubmatch(leaf.log.String())
	if address == nil {
		t.Fatal(leaf.log.String())
	}
	state := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(state, daemonUID, daemonUID); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(filepath.Dir(state), "aggrfs.yaml")
	text := fmt.Sprintf("version: 1\nhead: head\nlisten: [\"unix:%s/s\"]\nstate: %s/gpids.json\ninsecure: true\n"+
		"nodes:\n  - {nodes: n1, address: %q}\nviews:\n  - {users: \"*\", nodes: all}\n",
		state, state, address[1])
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, daemonUID, needed, "aggrfs", "serve", "--config", config)
	d.dir = state
	d.checkThreads(t, needed, needed)
	if b, err := os.ReadFile(filepath.Join(state, "gpids.json")); err != nil || !bytes.Contains(b, []byte("n1")) {
		t.Errorf("state file: %q, %v", b, err)
	}
	root := d.attach(t, vfs.Root)
	wait.Until(t, "n1 is up", func() bool {
		b, err := read(t.Context(), root, "cluster/nodes")
		return err == nil && bytes.Count(b, []byte(" up ")) == 2
	})
	d.serveUser(t) // the head node's processes are at the root, by their native pids
	own := quiet(t, testUID)
	want, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", own))
	for _, who := range []vfs.Identity{vfs.Root, {UID: testUID, GID: testGID}} {
		got, err := read(t.Context(), d.attach(t, who), fmt.Sprintf("nodes/n1/%d/environ", own))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("environ on n1 as %d: %q, %v", who.UID, got, err)
		}
	}
	d.checkThreads(t, needed, needed)
}
