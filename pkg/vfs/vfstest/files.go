package vfstest

import (
	"bytes"
	"context"
	"slices"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// checkFiles opens and reads every file that was visited.
func (s *suite) checkFiles() {
	versions := make(map[string]map[uint64]string) // path, version: content
	for _, v := range s.visited {
		f, ok := v.node.(vfs.File)
		if !ok || slices.Contains(s.Blocked, v.path) {
			continue
		}
		versions[v.path] = make(map[uint64]string)
		for range 2 { // two opens, for what must hold between them
			h, err := f.Open(s.ctx)
			if err != nil {
				if !s.forgiven(v.path, err) {
					s.Errorf("%q: open: %v", v.path, err)
				}
				break
			}
			s.checkFile(v, h, versions[v.path])
			if err := h.Close(); err != nil {
				s.Errorf("%q: close: %v", v.path, err)
			}
		}
	}
}

// checkFile reads one open file in every way.
func (s *suite) checkFile(v *visit, h vfs.Handle, versions map[uint64]string) {
	whole, err := s.read(h, 0, 64<<10, s.MaxBytes)
	if err != nil {
		if !s.forgiven(v.path, err) {
			s.Errorf("%q: read: %v", v.path, err)
		}
		return
	}
	complete := len(whole) < s.MaxBytes
	if held, ok := h.(vfs.Held); ok {
		s.checkHeld(v, held, whole, complete, versions)
	}
	if complete && v.attr.Size != 0 && v.attr.Size != uint64(len(whole)) && !s.moving(v.path) {
		s.Errorf("%q: its size is %d, it has %d bytes", v.path, v.attr.Size, len(whole))
	}
	for _, size := range []int{1, 7, 512, 4096} {
		most := min(len(whole), 300*size)
		if got, err := s.read(h, 0, size, most); err != nil || !bytes.Equal(got, whole[:most]) {
			s.Errorf("%q: read by %d: %d bytes and %v, not the %d first ones as before", v.path, size, len(got), err, most)
		}
	}
	if !complete {
		return
	}
	end := len(whole)
	at := int64(end)
	for _, r := range []struct {
		off       int64
		ask, want int
	}{
		{at, 10, 0}, {at + 1, 10, 0}, {1 << 32, 10, 0}, {0, 0, 0},
		{max(0, at-3), 10, min(3, end)}, {at / 2, end - end/2, end - end/2}, {at / 2, end, end - end/2},
	} {
		p := make([]byte, r.ask)
		n, err := h.ReadAt(s.ctx, p, r.off)
		if err != nil || n != r.want || !bytes.Equal(p[:n], whole[min(r.off, at):][:n]) {
			s.Errorf("%q: %d bytes at %d of %d: %d and %v, want %d", v.path, r.ask, r.off, end, n, err, r.want)
		}
	}
}

// read reads from off to the end or to most bytes, in pieces.
func (s *suite) read(h vfs.Handle, off int64, piece, most int) ([]byte, error) {
	var all []byte
	p := make([]byte, piece)
	for len(all) < most {
		want := p[:min(piece, most-len(all))]
		n, err := h.ReadAt(s.ctx, want, off+int64(len(all)))
		if err != nil {
			return all, err
		}
		if n < 0 || n > len(want) {
			s.Errorf("a read of %d bytes returns %d", len(want), n)
			return all, nil
		}
		all = append(all, want[:n]...)
		if n < len(want) {
			return all, nil
		}
	}
	return all, nil
}

// checkHeld checks what a handle in memory says of itself.
func (s *suite) checkHeld(v *visit, h vfs.Held, whole []byte, complete bool, versions map[uint64]string) {
	content := bytes.Clone(h.Content())
	if complete && !bytes.Equal(content, whole) || !bytes.HasPrefix(content, whole) {
		s.Errorf("%q: the held content has %d bytes, reading gives %d others", v.path, len(content), len(whole))
	}
	if h.Keep() < 0 {
		s.Errorf("%q: keep is %v", v.path, h.Keep())
	}
	version := h.Version()
	if h.Keep() > 0 && version == 0 {
		s.Errorf("%q: it may be kept for %v but has no version", v.path, h.Keep())
	}
	if version == 0 {
		return
	}
	if before, seen := versions[version]; seen && before != string(content) {
		s.Errorf("%q: two contents have the version %#x", v.path, version)
	}
	versions[version] = string(content)
}

// checkLinks reads every link.
func (s *suite) checkLinks() {
	for _, v := range s.visited {
		l, ok := v.node.(vfs.Link)
		if !ok {
			continue
		}
		text, err := l.Readlink(s.ctx)
		if err != nil {
			if !s.forgiven(v.path, err) {
				s.Errorf("%q: readlink: %v", v.path, err)
			}
			continue
		}
		again, err := l.Readlink(s.ctx)
		if (err != nil || again != text) && !s.moving(v.path) {
			s.Errorf("%q: the link is %q, then %q, %v", v.path, text, again, err)
		}
		if text == "" || bytes.IndexByte([]byte(text), 0) >= 0 {
			s.Errorf("%q: the link is %q", v.path, text)
		}
	}
}

// checkIdentities attaches as others and compares ids.
func (s *suite) checkIdentities() {
	for _, who := range s.Others {
		n, err := s.Tree.Attach(s.ctx, who, s.Aname)
		if err != nil {
			s.Errorf("attach as %d: %v", who.UID, err)
			continue
		}
		root, ok := n.(vfs.Dir)
		if !ok {
			s.Errorf("the root as %d is no directory", who.UID)
			continue
		}
		for _, v := range s.visited {
			if s.moving(v.path) {
				continue
			}
			other, _, err := vfs.WalkPath(context.WithoutCancel(s.ctx), root, v.names...)
			if err != nil {
				continue // what they may not see
			}
			if other.ID() != v.node.ID() {
				s.Errorf("%q: id %d, as %d it is %d", v.path, v.node.ID(), who.UID, other.ID())
			}
		}
	}
}
