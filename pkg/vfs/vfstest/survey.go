package vfstest

import (
	"slices"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// survey visits the tree breadth first and checks that listings, walks and
// attributes agree.
func (s *suite) survey() {
	if s.root == nil {
		return
	}
	a, ok := s.checkNode("", s.root)
	if !ok {
		return
	}
	s.visited = []*visit{{node: s.root, attr: a}}
	byID := map[uint64]string{s.root.ID(): ""}
	for i := 0; i < len(s.visited) && len(s.visited) < s.MaxEntries; i++ {
		d, ok := s.visited[i].node.(vfs.Dir)
		if !ok {
			continue
		}
		dir := s.visited[i]
		entries, err := s.list(d, 1000)
		if err != nil {
			if !s.forgiven(dir.path, err) {
				s.Errorf("%q: listing: %v", dir.path, err)
			}
			continue
		}
		s.checkEntries(dir.path, entries)
		for _, e := range entries {
			path := join(dir.path, e.Name)
			if s.Skip(path) || len(s.visited) == s.MaxEntries {
				continue
			}
			v := s.visit(dir, d, e, path)
			if v == nil {
				continue
			}
			if other, twice := byID[e.ID]; twice && !s.Same(other, path) && !s.moving(path) {
				s.Errorf("%q and %q have the same id %d", other, path, e.ID)
			}
			byID[e.ID] = path
			s.visited = append(s.visited, v)
		}
	}
}

// visit walks to one entry of a listing, twice.
func (s *suite) visit(parent *visit, dir vfs.Dir, e vfs.DirEntry, path string) *visit {
	n, err := dir.Walk(s.ctx, e.Name)
	if err != nil {
		if !s.forgiven(path, err) {
			s.Errorf("%q is listed, but its walk fails: %v", path, err)
		}
		return nil
	}
	again, err := dir.Walk(s.ctx, e.Name)
	if err != nil && s.forgiven(path, err) {
		return nil
	}
	switch {
	case err != nil:
		s.Errorf("%q: the second walk fails: %v", path, err)
		return nil
	case s.moving(path):
	case n.ID() != e.ID || n.Type() != e.Type:
		s.Errorf("%q: listed with id %d, type %#o; the walk has %d, %#o", path, e.ID, uint32(e.Type), n.ID(), uint32(n.Type()))
	case n.ID() != again.ID():
		s.Errorf("%q: id %d, then %d", path, n.ID(), again.ID())
	}
	a, ok := s.checkNode(path, n)
	if !ok {
		return nil
	}
	return &visit{path, append(slices.Clone(parent.names), e.Name), n, a}
}

// checkEntries checks what can be said of a listing alone.
func (s *suite) checkEntries(dir string, entries []vfs.DirEntry) {
	names := make(map[string]bool, len(entries))
	last := uint64(0)
	for _, e := range entries {
		path := join(dir, e.Name)
		switch {
		case !vfs.ValidName(e.Name):
			s.Errorf("%q lists %q, which is no name", dir, e.Name)
		case names[e.Name]:
			s.Errorf("%q is listed twice", path)
		case e.ID == 0:
			s.Errorf("%q is listed with id 0", path)
		case e.Type != vfs.TypeDir && e.Type != vfs.TypeFile && e.Type != vfs.TypeLink:
			s.Errorf("%q is listed with type %#o", path, uint32(e.Type))
		case e.Next <= last:
			s.Errorf("%q: Next is %d behind %d", path, e.Next, last)
		}
		names[e.Name] = true
		last = e.Next
	}
}

// list reads a whole directory, max entries at a time.
func (s *suite) list(d vfs.Dir, max int) ([]vfs.DirEntry, error) {
	h, err := d.List(s.ctx)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return s.readDir(h, 0, max)
}

// readDir reads from offset to the end.
func (s *suite) readDir(h vfs.DirHandle, offset uint64, max int) ([]vfs.DirEntry, error) {
	var all []vfs.DirEntry
	for {
		before := len(all)
		var err error
		if all, err = h.ReadDir(s.ctx, offset, all, max); err != nil {
			return nil, err
		}
		got := len(all) - before
		if got > max {
			s.Errorf("%d entries where %d were asked for", got, max)
		}
		if got <= 0 {
			return all, nil
		}
		next := all[len(all)-1].Next
		if next <= offset { // it would never end
			s.Errorf("reading on at %d: Next is %d", offset, next)
			return all, nil
		}
		offset = next
	}
}
