package vfstest

import (
	"context"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// TestTree checks a tree against the contract of package vfs.
func TestTree(t *testing.T, opts Options) {
	t.Helper()
	s := newSuite(t.Context(), opts)
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			s.reporter = t
			c.run(s)
		})
	}
	if opts.Ending != nil {
		t.Run("Ending", func(t *testing.T) {
			s.reporter = t
			path, end, again := opts.Ending(t)
			s.checkEnding(path, end, again)
		})
	}
}

// checks are the parts of the suite in their order: the first two find what the
// others look at.
var checks = []struct {
	name string
	run  func(*suite)
}{
	{"Attach", (*suite).checkAttach},
	{"Survey", (*suite).survey},
	{"Paths", (*suite).checkPaths},
	{"Missing", (*suite).checkMissing},
	{"Listings", (*suite).checkListings},
	{"Files", (*suite).checkFiles},
	{"Links", (*suite).checkLinks},
	{"Contexts", (*suite).checkContexts},
	{"Identities", (*suite).checkIdentities},
	{"Concurrency", (*suite).checkConcurrency},
}

// A reporter is the part of testing.T that the checks need, so that the suite's
// own tests can see it fail.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// A suite is one run over one tree.
type suite struct {
	Options
	reporter
	ctx     context.Context
	root    vfs.Dir // nil if attach failed
	visited []*visit
}

// A visit is one entry that the survey found.
type visit struct {
	path  string
	names []string
	node  vfs.Node
	attr  vfs.Attr
}

func newSuite(ctx context.Context, opts Options) *suite {
	return &suite{Options: opts.withDefaults(), ctx: ctx}
}

// forgiven reports whether an error at a path is part of life: what moves may be
// gone, and the kernel may say no.
func (s *suite) forgiven(path string, err error) bool {
	switch vfs.Errno(err) {
	case syscall.ENOENT, syscall.ESRCH:
		return s.moving(path) || s.MayFail(path)
	case syscall.EACCES, syscall.EPERM:
		return true
	}
	return s.MayFail(path)
}

// moving reports whether anything on the path moves.
func (s *suite) moving(path string) bool {
	for {
		if s.Moving(path) {
			return true
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return path != "" && s.Moving("")
		}
		path = path[:i]
	}
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func split(path string) []string {
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

func (s *suite) checkAttach() {
	n, err := s.Tree.Attach(s.ctx, s.Who, s.Aname)
	if err != nil {
		s.Errorf("attach of %q: %v", s.Aname, err)
		return
	}
	root, ok := n.(vfs.Dir)
	if !ok {
		s.Errorf("the root is a %T, no directory", n)
		return
	}
	s.root = root
	again, err := s.Tree.Attach(s.ctx, s.Who, s.Aname)
	if err != nil || again.ID() != root.ID() {
		s.Errorf("a second attach gives another root, or %v", err)
	}
	if _, err := s.Tree.Attach(s.ctx, s.Who, "no such attach name"); vfs.Errno(err) != syscall.ENOENT {
		s.Errorf("attach of an unknown name: %v, not ENOENT", err)
	}
	s.checkNode("", root)
}

// checkNode checks what a node says of itself, and returns its attributes.
func (s *suite) checkNode(path string, n vfs.Node) (vfs.Attr, bool) {
	if n.ID() == 0 {
		s.Errorf("%q: the id is 0", path)
	}
	_, isDir := n.(vfs.Dir)
	_, isFile := n.(vfs.File)
	_, isLink := n.(vfs.Link)
	t := n.Type()
	if isDir != (t == vfs.TypeDir) || isFile != (t == vfs.TypeFile) || isLink != (t == vfs.TypeLink) {
		s.Errorf("%q: type %#o, but dir %v, file %v, link %v", path, uint32(t), isDir, isFile, isLink)
	}
	a, err := n.Attr(s.ctx)
	if err != nil {
		if !s.forgiven(path, err) {
			s.Errorf("%q: attributes: %v", path, err)
		}
		return a, false
	}
	if a.ID != n.ID() || a.Type() != t {
		s.Errorf("%q: attributes have id %d and type %#o, the node %d and %#o", path, a.ID, uint32(a.Type()), n.ID(), uint32(t))
	}
	if p, ok := n.(vfs.Previewer); ok {
		s.checkPreview(path, p.Preview(), a)
	}
	if a.Mode&^(vfs.TypeMask|0o7777) != 0 || a.Keep < 0 || a.KeepName < 0 {
		s.Errorf("%q: attributes with mode %#o, keep %v, keep name %v", path, a.Mode, a.Keep, a.KeepName)
	}
	return a, true
}

// checkPreview compares a preview with the attributes that follow.
func (s *suite) checkPreview(path string, p, a vfs.Attr) {
	if p.Type() != a.Type() || p.ID != a.ID || p.Keep < 0 || p.KeepName < 0 {
		s.Errorf("%q: the preview has type %#o, id %d, keep %v; the attributes %#o, %d", path, uint32(p.Type()), p.ID, p.Keep, uint32(a.Type()), a.ID)
	}
	if p.Keep > 0 && (p.Mode != a.Mode || p.UID != a.UID || p.GID != a.GID) && !s.moving(path) {
		s.Errorf("%q: a preview that holds for %v has mode %#o of %d:%d; the attributes %#o of %d:%d", path, p.Keep, p.Mode, p.UID, p.GID, a.Mode, a.UID, a.GID)
	}
}
