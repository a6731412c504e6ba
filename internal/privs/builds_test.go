package privs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestHoweverBuilt starts both daemons as plain go build makes them, with cgo, and
// with the race detector: all their threads give up what the static ones do, and
// they serve.
func TestHoweverBuilt(t *testing.T) {
	needsLeaf(t)
	for name, build := range map[string]struct {
		cgo   bool
		flags []string
	}{
		"with cgo":               {true, nil},
		"with the race detector": {true, []string{"-race"}},
		"without cgo":            {false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "aggrfs-builds-") // which other users reach
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := buildPrograms(dir, build.cgo, build.flags...); err != nil {
				t.Fatal(err)
			}
			for _, uid := range []int{0, daemonUID} {
				kept, given := setOf(Leaf()), all
				if uid != 0 {
					kept, given = needed, needed
				}
				leaf := start(t, uid, given, filepath.Join(dir, "procsrv"), "--listen", "unix:DIR/s")
				leaf.checkThreads(t, kept, kept)
				leaf.serveUser(t)
				leaf.checkThreads(t, kept, kept)

				config := filepath.Join(t.TempDir(), "aggrfs.yaml")
				state := t.TempDir()
				if err := os.Chown(state, uid, uid); err != nil {
					t.Fatal(err)
				}
				text := fmt.Sprintf("version: 1\nhead: head\nlisten: [\"unix:%s/s\"]\nstate: %s/gpids.json\nviews:\n  - {users: \"*\", nodes: all}\n", state, state)
				if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				front := start(t, uid, given, filepath.Join(dir, "aggrfs"), "serve", "--config", config)
				front.dir = state
				front.checkThreads(t, kept, kept)
				front.serveUser(t)
				front.checkThreads(t, kept, kept)
			}
		})
	}
}
