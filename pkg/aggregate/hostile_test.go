package aggregate

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// crowd is the answer of a leaf that claims so many processes.
func crowd(t *testing.T, facts snapshot.Facts, files []string, procs int) []byte {
	t.Helper()
	var b snapshot.Builder
	b.Reset(nil, facts, files)
	for i := range procs {
		b.Begin(snapshot.Proc{PID: int32(i + 1), ID: uint64(i + 1), Mode: uint32(vfs.TypeDir) | 0o555})
		for range files {
			b.Fail(syscall.ENOENT)
		}
	}
	table, err := b.Table()
	if err != nil {
		t.Fatal(err)
	}
	return table.Answer(snapshot.Request{Files: files}, 0)
}

// goodLeaf is a node with so many processes.
func goodLeaf(name string, procs int) *fakeLeaf {
	l := newFakeLeaf()
	l.facts.BootID = name
	for pid := 1; pid <= procs; pid++ {
		l.add(pid, 0, 0, pid, pid)
	}
	return l
}

// rowsOf are how many processes of each node are listed, how long that took, and what
// was allocated meanwhile.
func rowsOf(t *testing.T, root vfs.Dir, nodes int) (rows []int, took time.Duration, bytes uint64) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	all := names(t, root)
	took = time.Since(start)
	runtime.ReadMemStats(&after)
	rows = make([]int, nodes)
	for _, name := range all {
		if g, err := strconv.Atoi(name); err == nil {
			rows[g/gpid.Stride]++
		}
	}
	return rows, took, after.TotalAlloc - before.TotalAlloc
}

// problemOf is what cluster/nodes says of a node: how many processes, and what is wrong.
func problemOf(t *testing.T, root vfs.Dir, node string) (procs, problem string) {
	t.Helper()
	for line := range strings.Lines(read(t, root, "cluster", "nodes")) {
		if f := strings.Fields(line); f[0] == node {
			return f[5], strings.Join(f[10:], " ")
		}
	}
	return "", ""
}

// A leaf that claims more processes than a node may have, or than its own pid_max, or an
// answer of more bytes, is left out with the reason. That costs the others nothing, and
// is not tried again at once.
func TestTooManyProcesses(t *testing.T) {
	for name, tc := range map[string]struct {
		pidMax, procs int
		damage        func(answer []byte)
		want          string
	}{
		"a million":       {4 << 20, 1_000_000, nil, "1000000 processes, of which at most 65536 are taken (max_processes"},
		"above pid_max":   {500, 501, nil, "501 processes, and its pid_max is 500"},
		"very many bytes": {4 << 20, 1000, func(b []byte) { binary.LittleEndian.PutUint32(b[12:], 200<<20) }, fmt.Sprintf("%d bytes, of which at most %d are taken", 200<<20, 64<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			bad, leaves := newFakeLeaf(), []*fakeLeaf{goodLeaf("head", 5), goodLeaf("n1", 50), goodLeaf("n2", 50)}
			bad.facts.PIDMax = tc.pidMax
			var answer []byte
			bad.answer = func(snapshot.Request) ([]byte, error) { return slices.Clone(answer), nil }
			c := fakeCluster(t, Config{}, append(leaves, bad)...)
			answer = crowd(t, bad.facts, c.store.Policy().Prefetch(), tc.procs)
			if tc.damage != nil {
				tc.damage(answer)
			}
			root := rootOf(t, c, vfs.Root, "")
			for i := range 3 {
				rows, took, bytes := rowsOf(t, root, 4)
				if !slices.Equal(rows, []int{5, 50, 50, 0}) {
					t.Errorf("list %d: rows of the nodes: %v", i, rows)
				}
				t.Logf("list %d took %v and allocated %d MiB", i, took, bytes>>20)
				if most := c.nodes[0].Limits().Sweep; took > most {
					t.Errorf("list %d took %v, a sweep %v", i, took, most)
				}
				if most := uint64(220 << 20); bytes > most {
					t.Errorf("list %d allocates %d MiB", i, bytes>>20)
				}
			}
			procs, problem := "", ""
			eventually(t, "the reason is told", func() bool { procs, problem = problemOf(t, root, "n3"); return problem != "-" })
			if procs != "-" || !strings.Contains(problem, tc.want) {
				t.Errorf("cluster/nodes has %s processes and %q, want %q", procs, problem, tc.want)
			}
			if asked := bad.requests(); count(asked, "snapshot") != 1 {
				t.Errorf("it was asked %v", asked)
			}
		})
	}
}

func count(all []string, what string) (n int) {
	for _, s := range all {
		if s == what {
			n++
		}
	}
	return n
}

// A node may have as many processes as is configured, and lists no more.
func TestMaxProcs(t *testing.T) {
	head, n1, n2 := goodLeaf("head", 1), goodLeaf("n1", 20), goodLeaf("n2", 21)
	c := fakeCluster(t, Config{
		MaxProcs: 20, Policy: cachepolicy.Sweep(time.Hour), Timeouts: Timeouts{Read: time.Minute, Sweep: time.Minute},
	}, head, n1, n2)
	root := rootOf(t, c, vfs.Root, "")
	if rows, _, _ := rowsOf(t, root, 3); !slices.Equal(rows, []int{1, 20, 0}) {
		t.Errorf("rows of the nodes: %v", rows)
	}
	// One whose table is small lists a crowd all the same.
	for pid := 100; pid < 100+proctable.MaxEntries-gpid.MaxPID; pid++ {
		n1.add(pid, 0, 0, pid, pid)
	}
	if rows, _, _ := rowsOf(t, root, 3); !slices.Equal(rows, []int{1, 0, 0}) {
		t.Errorf("rows of the nodes: %v", rows)
	}
}

// Very many nodes that announce much and send little keep others waiting once, at most.
func TestStallingNodes(t *testing.T) {
	const many = 64 + 6 // as many as fit into what may be in flight, and some
	leaves := []*fakeLeaf{goodLeaf("head", 100), goodLeaf("n1", 100)}
	for range many {
		l := newFakeLeaf()
		l.stalls = true
		l.answer = func(req snapshot.Request) ([]byte, error) {
			b := crowd(t, l.facts, req.Files, 100)
			binary.LittleEndian.PutUint32(b[8:], 2<<20)
			binary.LittleEndian.PutUint32(b[12:], 2<<20)
			return b, nil
		}
		leaves = append(leaves, l)
	}
	c := fakeCluster(t, Config{Policy: cachepolicy.Sweep(time.Millisecond), Timeouts: Timeouts{Sweep: 500 * time.Millisecond, Read: time.Second}}, leaves...)
	root := rootOf(t, c, vfs.Root, "")
	names(t, root)
	eventually(t, "the nodes that stall have failed", func() bool {
		for _, n := range c.nodes[2:] {
			if n.Problem() == nil {
				return false
			}
		}
		return true
	})
	for range 3 {
		eventually(t, "the good nodes must be asked again", func() bool {
			return c.nodes[0].Table().Left(time.Now()) == 0 && c.nodes[1].Table().Left(time.Now()) == 0
		})
		if rows, _, _ := rowsOf(t, root, len(leaves)); rows[0] != 100 || rows[1] != 100 {
			t.Errorf("rows of the good nodes: %v", rows[:2])
		}
	}
}
