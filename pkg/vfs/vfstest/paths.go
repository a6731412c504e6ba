package vfstest

import (
	"errors"
	"slices"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// checkPaths walks from the root to everything visited, and to what is not
// listed.
func (s *suite) checkPaths() {
	ids := make(map[string]uint64)
	for _, v := range s.visited {
		ids[v.path] = v.node.ID()
	}
	for _, v := range s.visited {
		if len(v.names) == 0 || s.moving(v.path) {
			continue
		}
		n, got, err := vfs.WalkPath(s.ctx, s.root, v.names...)
		if err != nil {
			s.Errorf("%q: walk from the root: %v", v.path, err)
			continue
		}
		want := make([]uint64, len(v.names))
		for i := range v.names {
			want[i] = ids[strings.Join(v.names[:i+1], "/")]
		}
		if !slices.Equal(got, want) || n.ID() != want[len(want)-1] || n.Type() != v.node.Type() {
			s.Errorf("%q: walk from the root has ids %d, want %d", v.path, got, want)
		}
		s.checkOpenPath(v, want)
	}
	for _, path := range s.Unlisted {
		n, _, err := vfs.WalkPath(s.ctx, s.root, split(path)...)
		if err != nil {
			s.Errorf("%q: %v", path, err)
			continue
		}
		s.checkNode(path, n)
	}
}

// checkOpenPath opens from the root.
func (s *suite) checkOpenPath(v *visit, ids []uint64) {
	if v.node.Type() == vfs.TypeFile && s.MayFail(v.path) || slices.Contains(s.Blocked, v.path) {
		return
	}
	h, got, err := vfs.OpenPath(s.ctx, s.root, v.names...)
	if err == nil {
		defer h.Close()
	}
	switch want := map[vfs.Type]syscall.Errno{vfs.TypeDir: syscall.EISDIR, vfs.TypeLink: syscall.ELOOP}[v.node.Type()]; {
	case want != 0 && vfs.Errno(err) != want:
		s.Errorf("%q: opening it: %v, want %v", v.path, err, want)
	case want == 0 && err != nil && !s.forgiven(v.path, err):
		s.Errorf("%q: opening it from the root: %v", v.path, err)
	case err == nil && !slices.Equal(got, ids):
		s.Errorf("%q: opening it from the root has ids %d, want %d", v.path, got, ids)
	}
}

// strange are names that a careless tree takes for another, or chokes on.
var strange = []string{
	"no such name", "...", " ", "\n", "\xff", "%s", "-1", "+1", "01", "1 ", "0x1", "1:1:1", "*", "\\", "[", "n[", "99999999999999999999",
	strings.Repeat("x", vfs.MaxName),
}

// checkMissing walks names that are not there.
func (s *suite) checkMissing() {
	const dirs = 50 // in how many directories all names are tried
	tried, files := 0, 0
	for _, v := range s.visited {
		switch n := v.node.(type) {
		case vfs.Dir:
			if tried++; tried > dirs {
				continue
			}
			entries, err := s.list(n, 1000)
			if err != nil {
				continue // said by the survey
			}
			for _, name := range s.unlisted(v.path, entries) {
				s.checkAbsent(v, n, name)
			}
		default:
			if files++; files > dirs || s.moving(v.path) {
				continue
			}
			_, _, err := vfs.WalkPath(s.ctx, s.root, append(slices.Clone(v.names), "x")...)
			if vfs.Errno(err) != syscall.ENOTDIR {
				s.Errorf("%q: a walk through it: %v, not ENOTDIR", v.path, err)
			}
		}
	}
}

// unlisted are strange names, and listed ones bent, that a directory lacks.
func (s *suite) unlisted(dir string, entries []vfs.DirEntry) []string {
	names := slices.Clone(strange)
	for i, e := range entries {
		if i < 3 {
			names = append(names, "0"+e.Name, e.Name+" ", e.Name+"\n", "+"+e.Name, e.Name[:len(e.Name)-1])
		}
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return !vfs.ValidName(name) || slices.Contains(s.Unlisted, join(dir, name)) ||
			slices.ContainsFunc(entries, func(e vfs.DirEntry) bool { return e.Name == name })
	})
}

func (s *suite) checkAbsent(v *visit, dir vfs.Dir, name string) {
	if s.Skip(join(v.path, name)) {
		return
	}
	n, err := dir.Walk(s.ctx, name)
	if vfs.Errno(err) != syscall.ENOENT && !(err != nil && s.forgiven(v.path, err)) && !s.moving(v.path) {
		s.Errorf("%q: the walk of %q, which is not listed: %v, %v, not ENOENT", v.path, name, n, err)
	}
	var m vfs.Missing
	if errors.As(err, &m) && m.Keep < 0 {
		s.Errorf("%q: %q is missing for %v", v.path, name, m.Keep)
	}
	if err == nil {
		return
	}
	if _, _, err := vfs.WalkPath(s.ctx, dir, name, "x"); vfs.Errno(err) != syscall.ENOENT && !s.forgiven(v.path, err) {
		s.Errorf("%q: a walk through the missing %q: %v, not ENOENT", v.path, name, err)
	}
}
