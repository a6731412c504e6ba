package vfstest

import (
	"slices"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// checkListings reads directories in every way that the contract allows.
func (s *suite) checkListings() {
	const dirs = 50
	looked := 0
	for _, v := range s.visited {
		d, ok := v.node.(vfs.Dir)
		if !ok || s.moving(v.path) {
			continue
		}
		if looked++; looked > dirs {
			return
		}
		whole, err := s.list(d, 1<<16)
		if err != nil {
			continue // said by the survey
		}
		for _, max := range []int{1, 2, 7} {
			if len(whole) > 200*max {
				continue
			}
			if part, err := s.list(d, max); err != nil || !slices.Equal(part, whole) {
				s.Errorf("%q: read by %d: %d entries and %v, want %d", v.path, max, len(part), err, len(whole))
			}
		}
		s.checkResume(v.path, d, whole)
	}
}

// checkResume reads on behind every entry (of long listings: behind some), in
// the handle that has been read to its end and in one that has not been read.
func (s *suite) checkResume(path string, d vfs.Dir, whole []vfs.DirEntry) {
	const places = 40
	used, err := d.List(s.ctx)
	if err != nil {
		s.Errorf("%q: list: %v", path, err)
		return
	}
	defer used.Close()
	if all, err := s.readDir(used, 0, 100); err != nil || !slices.Equal(all, whole) {
		s.Errorf("%q: a second reading has %d entries and %v, want %d", path, len(all), err, len(whole))
	}
	step := max(1, len(whole)/places)
	for i := 0; i < len(whole); i += step {
		rest := whole[i+1:]
		if got, err := s.readDir(used, whole[i].Next, 100); err != nil || !slices.Equal(got, rest) {
			s.Errorf("%q: resumed behind %q: %d entries and %v, want %d", path, whole[i].Name, len(got), err, len(rest))
		}
		fresh, err := d.List(s.ctx)
		if err != nil {
			s.Errorf("%q: list: %v", path, err)
			return
		}
		if got, err := s.readDir(fresh, whole[i].Next, 100); err != nil || !slices.Equal(got, rest) {
			s.Errorf("%q: a new handle behind %q: %d entries and %v, want %d", path, whole[i].Name, len(got), err, len(rest))
		}
		if err := fresh.Close(); err != nil {
			s.Errorf("%q: close: %v", path, err)
		}
	}
	if all, err := s.readDir(used, 0, 100); err != nil || !slices.Equal(all, whole) {
		s.Errorf("%q: read anew: %d entries and %v, want %d", path, len(all), err, len(whole))
	}
	s.checkAppend(path, used, whole)
}

// checkAppend makes sure that what dst holds stays.
func (s *suite) checkAppend(path string, h vfs.DirHandle, whole []vfs.DirEntry) {
	mark := vfs.DirEntry{Name: "mark", ID: 1, Next: 1}
	got, err := h.ReadDir(s.ctx, 0, []vfs.DirEntry{mark}, 1<<16)
	if err != nil || len(got) == 0 || got[0] != mark || len(got) > 1+len(whole) {
		s.Errorf("%q: entries are not appended (%v)", path, err)
	}
}
