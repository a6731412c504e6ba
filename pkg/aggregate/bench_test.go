package aggregate

import (
	"context"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// manyProcs is a node with that many processes.
func manyProcs(n int) *fakeLeaf {
	l := newFakeLeaf()
	l.facts.PIDMax = gpid.MaxPID
	for i := range n {
		l.add(100+i, uint32(i%7), 1, 100+i, 100+i)
	}
	return l
}

// benchRoots are the root as a client over 9P has it, and as a mount's reader.
func benchRoots(b *testing.B, run func(b *testing.B, ctx context.Context, root vfs.Dir)) {
	c := fakeCluster(b, Config{Policy: policy(b, swept)}, newFakeLeaf(), manyProcs(2000))
	b.Run("9p", func(b *testing.B) { run(b, b.Context(), rootOf(b, c, vfs.Root, "")) })
	m := c.NewMount(Native{Path: "/run/native"})
	defer m.Close()
	reader := vfs.WithCaller(b.Context(), vfs.Caller{TID: uint32(unix.Gettid())})
	b.Run("mount", func(b *testing.B) { run(b, reader, rootOf(b, m, vfs.Root, "")) })
}

// namesFor is names for a reader.
func namesFor(t testing.TB, ctx context.Context, dir vfs.Dir) (all []string) {
	t.Helper()
	h, err := dir.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	entries, err := h.ReadDir(ctx, 0, nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name)
	}
	return all
}

// BenchmarkListRoot lists a root of 2,000 processes of one node.
func BenchmarkListRoot(b *testing.B) {
	benchRoots(b, func(b *testing.B, ctx context.Context, root vfs.Dir) {
		for b.Loop() {
			namesFor(b, ctx, root)
		}
	})
}

// BenchmarkOpenStat is what a front does with stat of a process after another: walk to the
// process, preview it, walk to the file, preview it, open it.
func BenchmarkOpenStat(b *testing.B) {
	benchRoots(b, func(b *testing.B, ctx context.Context, root vfs.Dir) {
		all := slices.DeleteFunc(namesFor(b, ctx, root), func(name string) bool { return name[0] < '0' || name[0] > '9' })
		if len(all) != 2000 {
			b.Fatalf("%d processes are listed", len(all))
		}
		i := 0
		for b.Loop() {
			if i == len(all) {
				i = 0
				b.StopTimer()
				namesFor(b, ctx, root)
				b.StartTimer()
			}
			dir, err := root.Walk(ctx, all[i])
			if err != nil {
				b.Fatal(err)
			}
			dir.(vfs.Previewer).Preview()
			file, err := dir.(vfs.Dir).Walk(ctx, "stat")
			if err != nil {
				b.Fatal(err)
			}
			file.(vfs.Previewer).Preview()
			h, err := file.(vfs.File).Open(ctx)
			if err != nil {
				b.Fatal(err)
			}
			if len(h.(vfs.Held).Content()) == 0 {
				b.Fatal("nothing is in it")
			}
			h.Close()
			i++
		}
	})
}
