package aggregate

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/fusefs"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// On a real mount a reader of many threads goes through what it was listed, in which some
// processes have ended and some pids are others' since, while another reader lists and reads what
// there is now: each sees its own, whatever the kernel has cached for both.
func TestListingOnMount(t *testing.T) {
	const procs = 30
	l := newFakeLeaf()
	p := newPledge(t, Config{}, "10m", l)
	for i := range procs {
		p.start(l, 700+i, 0)
	}
	dir := t.TempDir()
	s, err := fusefs.Mount(dir, fusefs.Config{
		Deadline: patience,
		Attach:   func(ctx context.Context, who vfs.Identity) (vfs.Node, error) { return p.mount.Attach(ctx, who, "") },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.WaitMounted(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := func(i int, name string) string { return filepath.Join(dir, strconv.Itoa(stride+700+i), name) }
	// other is what a shell reads of one process after it has listed all.
	other := func(i int) (names []string, status string) {
		out, err := exec.Command("bash", "-c", `cd "$1"; echo [0-9]*; while read -r line; do echo "$line"; done <"$2"`, "bash", dir, path(i, "status")).Output()
		if err != nil {
			return strings.Fields(string(out)), ""
		}
		first, rest, _ := strings.Cut(string(out), "\n")
		return strings.Fields(first), rest
	}
	ended := func(i int) bool { return i%3 == 1 }
	reused := func(i int) bool { return i%3 == 2 }
	p.pass()
	for round := range 2 {
		was := p.moment
		before, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(before); n < procs {
			t.Fatalf("%d entries", n)
		}
		for i := range procs {
			if ended(i) || reused(i) {
				l.end(700 + i)
			}
			if reused(i) {
				p.start(l, 700+i, 0)
			}
		}
		p.pass()
		for i := range procs {
			for k, name := range sweptFiles {
				if k == i%4 {
					all, status := other(i)
					if listed := slices.Contains(all, strconv.Itoa(stride+700+i)); listed == ended(i) {
						t.Errorf("the other reader is listed process %d: %v", i, listed)
					}
					if !ended(i) && sees(t, "status", status).moment != p.moment {
						t.Errorf("the other reader has status of %d as %q", i, status)
					}
				}
				if _, err := os.Stat(path(i, "")); err != nil {
					t.Errorf("process %d was listed: %v", i, err)
				}
				text, err := os.ReadFile(path(i, name))
				if err != nil || sees(t, name, string(text)).moment != was {
					t.Errorf("round %d: %s of %d is %q, %v; want moment %d", round, name, i, text, err, was)
				}
			}
			text, err := os.ReadFile(path(i, "stat"))
			if ended(i) || reused(i) {
				if !gone(err) {
					t.Errorf("stat of %d can be read a second time: %q, %v", i, text, err)
				}
			} else if err != nil || sees(t, "stat", string(text)).moment != p.moment {
				t.Errorf("a second time stat of %d is %q, %v", i, text, err)
			}
		}
		for i := range procs { // so that the next round has all again
			if ended(i) {
				p.start(l, 700+i, 0)
			}
		}
		p.pass()
	}
}
