package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// TestPlan9 reads as a client does that speaks 9P2000: self is process 1, and a
// link what it says.
func TestPlan9(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(t.Context())
	var log lines
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, &log, "--listen", "unix:"+path) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	waitForLog(t, &log, "serving", 1)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{Dialect: "9P2000"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	n, err := client.Attach(ctx, vfs.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	root := n.(vfs.Dir)
	for _, name := range []string{"self", "thread-self"} {
		if data, err := vfs.ReadFile(ctx, root, 4096, name, "stat"); err != nil || !strings.HasPrefix(string(data), "1 (") {
			t.Errorf("%s/stat: %q, %v", name, data, err)
		}
	}
	own := strconv.Itoa(os.Getpid())
	exe, _, err := vfs.WalkPath(ctx, root, own, "exe")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := os.Readlink("/proc/self/exe")
	if l, ok := exe.(vfs.Link); !ok {
		t.Errorf("exe has type %#o", exe.Type())
	} else if text, err := l.Readlink(ctx); err != nil || text != want {
		t.Errorf("exe is %q, %v, want %q", text, err, want)
	}
	h, err := root.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	entries, err := h.ReadDir(ctx, 0, nil, 1<<20)
	named := func(name string, typ vfs.Type) bool {
		return slices.ContainsFunc(entries, func(e vfs.DirEntry) bool { return e.Name == name && e.Type == typ })
	}
	if err != nil || !named(own, vfs.TypeDir) || !named("self", vfs.TypeDir) || !named("stat", vfs.TypeFile) || !named("mounts", vfs.TypeLink) {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}
