package aggregate

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// pagedCluster is a head and two nodes, all of them this machine, with gpids dealt in
// pages that are kept at path.
func pagedCluster(t *testing.T, path string) *Cluster {
	t.Helper()
	gpids, err := gpid.Open(path, gpid.Paged, []gpid.NodeName{"n1", "n2"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Head: NodeConfig{Name: "head", Dial: dialLeaf}, GPIDs: gpids, Policy: cachepolicy.Sweep(time.Second),
		Nodes: []NodeConfig{{Name: "n1", Dial: dialLeaf}, {Name: "n2", Dial: dialLeaf}},
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c.Ready(ctx)
	return c
}

// With paged gpids the tree is what it is with fixed ones, but for the numbers: listed
// in order, each leading to its own process, in files and in snapshots alike; and after
// a restart they are the same.
func TestPagedCluster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gpids.json")
	pid := sleeper(t, 7)
	c := pagedCluster(t, path)
	closed := false
	defer func() {
		if !closed {
			c.Close()
		}
	}()
	root := rootOf(t, c, vfs.Root, "")
	list := func() (all []int) {
		for _, name := range names(t, root) {
			if n, err := strconv.Atoi(name); err == nil {
				all = append(all, n)
			}
		}
		return all
	}
	all := list()
	if !slices.IsSorted(all) || !slices.Contains(all, pid) || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("listed %v", all)
	}
	gpids := map[string]string{}
	for _, node := range []string{"n1", "n2"} {
		row := strings.Fields(strings.Split(read(t, root, "cluster", "where", node+":"+strconv.Itoa(pid)), "\n")[1])
		g := row[2]
		n, _ := strconv.Atoi(g)
		if n < gpid.Stride || !slices.Contains(all, n) {
			t.Errorf("%s:%d is %s, which is not listed", node, pid, g)
		}
		gpids[node] = g
		status := read(t, root, g, "status")
		if !strings.Contains(status, "\nPid:\t"+g+"\n") || !strings.Contains(status, "\nUid:\t7\t") {
			t.Errorf("status of %s: %s", g, status)
		}
		if stat := read(t, root, g, "stat"); !strings.HasPrefix(stat, g+" (sleep) ") {
			t.Errorf("stat of %s: %s", g, stat)
		}
		task, _, err := vfs.WalkPath(t.Context(), root, g, "task")
		if err != nil {
			t.Fatal(err)
		}
		if got := names(t, task.(vfs.Dir)); !slices.Equal(got, []string{g}) {
			t.Errorf("task of %s has %v", g, got)
		}
		if got := read(t, root, g, "task", g, "comm"); got != "sleep\n" {
			t.Errorf("comm of the thread: %q", got)
		}
	}
	if gpids["n1"] == gpids["n2"] {
		t.Errorf("both are %s", gpids["n1"])
	}
	for _, bad := range []string{"9999999", "2147483600", strconv.Itoa(gpid.Stride + 99_999_900)} {
		if n, err := root.Walk(t.Context(), bad); err == nil {
			t.Errorf("%s is %v", bad, n)
		}
	}
	if status := read(t, root, "cluster", "status"); !strings.Contains(status, "paged") {
		t.Errorf("cluster/status: %s", status)
	}
	closed = true
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = pagedCluster(t, path)
	defer c.Close()
	root = rootOf(t, c, vfs.Root, "")
	for node, g := range gpids {
		if got := read(t, root, g, "comm"); got != "sleep\n" {
			t.Errorf("after a restart %s of %s is %q", g, node, got)
		}
	}
	// The mode never switches by itself.
	if _, err := gpid.Open(path, gpid.Fixed, []gpid.NodeName{"n1", "n2"}); err == nil || !strings.Contains(err.Error(), "gpids: paged") {
		t.Errorf("as fixed: %v", err)
	}
	if _, err := os.Stat(path + ".pages"); err != nil {
		t.Error(err)
	}
}

// What is wrong with the front end stands in cluster/status, and what is cached of a file
// in cluster/explain; that is for who sees everything, and of the former a user has what is theirs.
func TestStatusAndExplain(t *testing.T) {
	c := newTestCluster(t, Config{Policy: policy(t, keepComm), Access: authority(ownEverywhere)}, "n1")
	root := rootOf(t, c, vfs.Root, "")
	c.Note(NotePolicy, os.ErrInvalid)
	if text := read(t, root, "cluster", "status"); !strings.Contains(text, "policy") || !strings.Contains(text, "refused") || !strings.Contains(text, "invalid argument") {
		t.Errorf("with a refused policy:\n%s", text)
	}
	c.Note(NotePolicy, nil)
	if text := read(t, root, "cluster", "status"); strings.Contains(text, "refused") {
		t.Errorf("with a good one:\n%s", text)
	}
	pid := strconv.Itoa(sleeper(t, 1))
	g := "n1:" + pid
	names(t, root)
	explain := func() string { return read(t, root, "cluster", "explain", ExplainName("n1", pid+"/comm")) }
	if text := explain(); !strings.Contains(text, "held    nothing") || !strings.Contains(text, "rule ") {
		t.Errorf("before it is read:\n%s", text)
	}
	read(t, root, g, "comm")
	read(t, root, g, "comm")
	if text := explain(); !strings.Contains(text, "on n1: 6 bytes") || !strings.Contains(text, "hits") {
		t.Errorf("after it was read:\n%s", text)
	}
	user := rootOf(t, c, vfs.Identity{UID: 1, GID: 1}, "")
	for _, name := range []string{"policy", "explain"} {
		if n, _, err := vfs.WalkPath(t.Context(), user, "cluster", name); err == nil {
			t.Errorf("a user finds cluster/%s: %v", name, n)
		}
	}
	text := read(t, user, "cluster", "status")
	rows, err := report.ParseStatus([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range rows {
		if !slices.Contains([]string{"server", "nodes", "versions", "data"}, p.Name) {
			t.Errorf("a user is told of %s:\n%s", p.Name, text)
		}
	}
	nobody := newTestCluster(t, Config{Access: authority()}, "n1")
	if text := read(t, rootOf(t, nobody, vfs.Identity{UID: 1, GID: 1}, ""), "cluster", "status"); !strings.Contains(text, " none ") || strings.Contains(text, "n1") {
		t.Errorf("who sees no nodes reads\n%s", text)
	}
}
