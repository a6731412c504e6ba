package vfstest

import (
	"bytes"
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// checkEnding holds nodes and open files of an object beyond its end, and
// beyond the beginning of another of that name.
func (s *suite) checkEnding(path string, end, again func()) {
	if s.root == nil {
		return
	}
	n, _, err := vfs.WalkPath(s.ctx, s.root, split(path)...)
	if err != nil {
		s.Errorf("%q: %v", path, err)
		return
	}
	id := n.ID()
	var h vfs.Handle
	var before []byte
	if f, ok := n.(vfs.File); ok {
		if h, err = f.Open(s.ctx); err != nil {
			s.Errorf("%q: open: %v", path, err)
			return
		}
		defer h.Close()
		before, _ = s.read(h, 0, 4096, s.MaxBytes)
	}
	end()
	s.checkGone(path, n, "")
	if h != nil {
		if got, err := s.read(h, 0, 4096, s.MaxBytes); err == nil && !bytes.Equal(got, before) {
			s.Errorf("%q: an open file reads otherwise when its object has ended: %d bytes, before %d", path, len(got), len(before))
		}
	}
	if n.ID() != id {
		s.Errorf("%q: a node's id changed when its object ended", path)
	}
	if again == nil {
		return
	}
	again()
	s.checkGone(path, n, " and another has its name")
	other, _, err := vfs.WalkPath(s.ctx, s.root, split(path)...)
	switch {
	case err != nil:
		s.Errorf("%q: the new one of that name: %v", path, err)
	case other.ID() == id:
		s.Errorf("%q: the new one of that name has the same id %d", path, id)
	}
}

// checkGone waits until the node knows that its object has ended, which may
// take as long as what it said before is good for.
func (s *suite) checkGone(path string, n vfs.Node, when string) {
	op, use := s.use(n)
	deadline := time.Now().Add(s.Grace)
	for {
		_, attrErr := n.Attr(s.ctx)
		err := use()
		if gone(attrErr) && gone(err) {
			return
		}
		if time.Now().After(deadline) {
			s.Errorf("%q: its object has ended%s, but attributes give %v and %s gives %v, not ENOENT or ESRCH", path, when, attrErr, op, err)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func gone(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH)
}

// use is what a node is for.
func (s *suite) use(n vfs.Node) (op string, call func() error) {
	ctx := context.WithoutCancel(s.ctx)
	switch n := n.(type) {
	case vfs.Dir:
		return "listing", func() error {
			h, err := n.List(ctx)
			if err != nil {
				return err
			}
			defer h.Close()
			entries, err := h.ReadDir(ctx, 0, nil, 10)
			if err == nil && len(entries) == 0 {
				// An open directory of what is gone may be empty, as
				// getdents(2) has it for a removed directory.
				return syscall.ENOENT
			}
			return err
		}
	case vfs.File:
		return "opening", func() error {
			h, err := n.Open(ctx)
			if err == nil {
				h.Close()
			}
			return err
		}
	case vfs.Link:
		return "readlink", func() error { _, err := n.Readlink(ctx); return err }
	}
	return "nothing", func() error { return syscall.ENOENT }
}
