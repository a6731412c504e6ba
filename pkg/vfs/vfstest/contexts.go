package vfstest

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// checkContexts calls everything with a context that has ended. An answer that
// needs no waiting may still be given; what fails must fail for that reason and
// no other, or a front would take a hurried "no such name" for the truth.
func (s *suite) checkContexts() {
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	s.soon("attach", "", func() error { _, err := s.Tree.Attach(ended, s.Who, s.Aname); return err })
	seen := make(map[vfs.Type]int)
	for _, v := range s.visited {
		const each = 20 // nodes of each type
		if seen[v.node.Type()]++; seen[v.node.Type()] > each || s.moving(v.path) || s.MayFail(v.path) {
			continue
		}
		s.soon("attr", v.path, func() error { _, err := v.node.Attr(ended); return err })
		switch n := v.node.(type) {
		case vfs.Dir:
			s.checkDirContext(ended, v.path, n)
		case vfs.File:
			s.checkFileContext(ended, v.path, n)
		case vfs.Link:
			s.soon("readlink", v.path, func() error { _, err := n.Readlink(ended); return err })
		}
		if _, err := v.node.Attr(s.ctx); err != nil && !s.forgiven(v.path, err) {
			s.Errorf("%q: attributes after calls that were cancelled: %v", v.path, err)
		}
	}
	s.checkBlocked()
}

func (s *suite) checkDirContext(ended context.Context, path string, d vfs.Dir) {
	for _, e := range s.first(d) {
		if !s.Skip(join(path, e.Name)) {
			s.soon("walk", join(path, e.Name), func() error { _, err := d.Walk(ended, e.Name); return err })
		}
	}
	s.soon("list", path, func() error {
		h, err := d.List(ended)
		if err != nil {
			return err
		}
		defer h.Close()
		_, err = h.ReadDir(ended, 0, nil, 10)
		return err
	})
	h, err := d.List(s.ctx)
	if err != nil {
		return // said by the survey
	}
	defer h.Close()
	s.soon("readdir", path, func() error { _, err := h.ReadDir(ended, 0, nil, 10); return err })
	if _, err := h.ReadDir(s.ctx, 0, nil, 10); err != nil && !s.forgiven(path, err) {
		s.Errorf("%q: readdir after one that was cancelled: %v", path, err)
	}
}

// first is the beginning of a listing.
func (s *suite) first(d vfs.Dir) []vfs.DirEntry {
	h, err := d.List(s.ctx)
	if err != nil {
		return nil
	}
	defer h.Close()
	entries, _ := h.ReadDir(s.ctx, 0, nil, 5)
	return entries
}

func (s *suite) checkFileContext(ended context.Context, path string, f vfs.File) {
	s.soon("open", path, func() error {
		h, err := f.Open(ended)
		if err == nil {
			h.Close()
		}
		return err
	})
	if slices.Contains(s.Blocked, path) {
		return
	}
	h, err := f.Open(s.ctx)
	if err != nil {
		return // said by checkFiles
	}
	defer h.Close()
	s.soon("read", path, func() error { _, err := h.ReadAt(ended, make([]byte, 10), 0); return err })
	if _, err := h.ReadAt(s.ctx, make([]byte, 10), 0); err != nil && !s.forgiven(path, err) {
		s.Errorf("%q: a read after one that was cancelled: %v", path, err)
	}
}

// soon makes a call whose context has ended.
func (s *suite) soon(op, path string, call func() error) {
	start := time.Now()
	err := call()
	if d := time.Since(start); d > s.Grace {
		s.Errorf("%q: %s with a context that has ended took %v", path, op, d)
	}
	switch vfs.Errno(err) {
	case 0, syscall.EINTR, syscall.ETIMEDOUT, syscall.EACCES, syscall.EPERM:
	default:
		s.Errorf("%q: %s with a context that has ended: %v, not EINTR", path, op, err)
	}
}

// checkBlocked opens and reads what blocks, with little time.
func (s *suite) checkBlocked() {
	const patience = 50 * time.Millisecond
	for _, path := range s.Blocked {
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		start := time.Now()
		h, _, err := vfs.OpenPath(ctx, s.root, split(path)...)
		if err == nil {
			_, err = h.ReadAt(ctx, make([]byte, 10), 0)
			h.Close()
		}
		cancel()
		if vfs.Errno(err) != syscall.ETIMEDOUT {
			s.Errorf("%q: a call whose deadline has passed: %v, not ETIMEDOUT", path, err)
		}
		if d := time.Since(start); d > patience+s.Grace {
			s.Errorf("%q: a call with a deadline of %v took %v", path, patience, d)
		}
	}
}
