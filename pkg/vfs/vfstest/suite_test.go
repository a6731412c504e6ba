package vfstest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A recorder is a reporter that remembers.
type recorder struct {
	mu   sync.Mutex
	said []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

// failures runs the suite and returns what it complains of.
func failures(t *testing.T, opts Options) []string {
	r := new(recorder)
	s := newSuite(t.Context(), opts)
	s.reporter = r
	for _, c := range checks {
		c.run(s)
	}
	if opts.Ending != nil {
		path, end, again := opts.Ending(t)
		s.checkEnding(path, end, again)
	}
	return r.said
}

// options is a test of the sample tree as it should pass.
func options(tree *Tree) Options {
	tree.Put("stuck", File{Read: BlockedContent})
	return Options{
		Tree:    tree,
		Who:     vfs.Root,
		Others:  []vfs.Identity{{UID: 1001, GID: 1001}},
		Blocked: []string{"stuck"},
		Grace:   200 * time.Millisecond,
		Ending: func(*testing.T) (string, func(), func()) {
			tree.Put("7/stat", File{Data: []byte("7")})
			return "7/stat", func() { tree.Remove("7/stat") }, func() { tree.Put("7/stat", File{Data: []byte("8")}) }
		},
	}
}

func TestSample(t *testing.T) {
	tree := sample()
	opts := options(tree)
	TestTree(t, opts)
	if v := tree.Violations(); len(v) > 0 {
		t.Errorf("the suite breaks the contract: %q", v)
	}
	if n := tree.Handles(); n != 0 {
		t.Errorf("the suite leaves %d handles open", n)
	}
}

func TestLarge(t *testing.T) {
	tree := NewTree()
	for i := range 3000 {
		tree.Put(fmt.Sprintf("%d/stat", i+1), File{Data: []byte("x")})
	}
	TestTree(t, Options{Tree: tree, MaxEntries: 4000})
}
