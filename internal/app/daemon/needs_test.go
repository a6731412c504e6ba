package daemon

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/app/mountserver"
	"github.com/aggrfs/aggrfs/internal/config"
)

func TestNeeds(t *testing.T) {
	cfg := config.Default()
	for i := range 2000 {
		cfg.Nodes = append(cfg.Nodes, config.Node{Name: fmt.Sprint("n", i), Address: fmt.Sprint("unix:/n", i)})
	}
	for i := range 500 { // behind one front end
		cfg.Nodes = append(cfg.Nodes, config.Node{Name: fmt.Sprint("m", i), Address: "unix:/m", Behind: true})
	}
	n := needsOf(cfg)
	if n.descriptors != 2001+otherDescriptors || n.memory < 600<<20 || n.memory > 2<<30 {
		t.Errorf("%+v", n)
	}
	if w := n.shortOf(needs{descriptors: 1 << 20, memory: 1 << 40}); len(w) != 0 {
		t.Errorf("%q", w)
	}
	cfg.Nodes = append(cfg.Nodes, config.Node{Name: "x", Address: "exec:a", Command: []string{"a"}})
	if more := needsOf(cfg); more.descriptors != n.descriptors+ofCommand {
		t.Errorf("with a command %+v", more)
	}
	if w := n.shortOf(needs{}); len(w) != 0 {
		t.Errorf("what is not known is complained of: %q", w)
	}
	for limit, want := range map[uint64]struct{ least, mounts int }{
		0:     {0, 0}, // not known
		100:   {1, mountserver.Descriptors},
		5000:  {100, mountserver.Descriptors},
		65536: {16384 + 256, mountserver.Descriptors * mountserver.DefaultMounts},
	} {
		if connections, mounts := n.forOthers(limit); connections < want.least || mounts < want.mounts || mounts > max(want.mounts, connections/2) {
			t.Errorf("of %d descriptors %d are for connections and %d for mounts", limit, connections, mounts)
		}
	}
	w := n.shortOf(needs{descriptors: 1024, memory: 100 << 20})
	if len(w) != 2 || !strings.Contains(w[0], "1024 file descriptors are allowed and 3025 needed") || !strings.Contains(w[1], "100 MiB") {
		t.Errorf("%q", w)
	}
	if there := available("/proc"); there.descriptors == 0 || there.memory == 0 {
		t.Errorf("available: %+v", there)
	}
}
