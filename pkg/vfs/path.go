package vfs

import (
	"bytes"
	"context"
	"strings"
	"syscall"
)

// MaxName is the longest name of one element, in bytes, as NAME_MAX.
const MaxName = 255

// ValidName reports whether name can be one element of a path: not empty, not
// "." or "..", at most MaxName bytes, without "/" and NUL. Fronts check it
// before they walk, so that trees need not.
func ValidName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= MaxName &&
		strings.IndexByte(name, '/') < 0 && strings.IndexByte(name, 0) < 0
}

// A PathOpener is a directory that can open a file below it in one exchange.
type PathOpener interface {
	// OpenPath is Walk of each name and Open of the last. ids are those of the
	// nodes on the way, the file's own last.
	OpenPath(ctx context.Context, names ...string) (h Handle, ids []uint64, err error)
}

// A PathWalker is a directory that can walk several names in one exchange.
type PathWalker interface {
	// WalkPath is Walk of each name in turn; ids as in OpenPath.
	WalkPath(ctx context.Context, names ...string) (n Node, ids []uint64, err error)
}

// WalkPath walks names from dir, in one exchange where dir can. No names are
// dir itself.
func WalkPath(ctx context.Context, dir Dir, names ...string) (Node, []uint64, error) {
	if w, ok := dir.(PathWalker); ok && len(names) > 0 {
		return w.WalkPath(ctx, names...)
	}
	var n Node = dir
	ids := make([]uint64, 0, len(names))
	for _, name := range names {
		d, ok := n.(Dir)
		if !ok {
			return nil, nil, syscall.ENOTDIR
		}
		var err error
		if n, err = d.Walk(ctx, name); err != nil {
			return nil, nil, err
		}
		ids = append(ids, n.ID())
	}
	return n, ids, nil
}

// OpenPath walks names from dir and opens the file found there, in one exchange
// where dir can.
func OpenPath(ctx context.Context, dir Dir, names ...string) (Handle, []uint64, error) {
	if o, ok := dir.(PathOpener); ok && len(names) > 0 {
		return o.OpenPath(ctx, names...)
	}
	n, ids, err := WalkPath(ctx, dir, names...)
	if err != nil {
		return nil, nil, err
	}
	switch f := n.(type) {
	case File:
		h, err := f.Open(ctx)
		return h, ids, err
	case Dir:
		return nil, nil, syscall.EISDIR
	}
	return nil, nil, syscall.ELOOP
}

// ReadFile reads the whole file of that name below dir, which must not be longer
// than max bytes (EFBIG).
func ReadFile(ctx context.Context, dir Dir, max int, names ...string) ([]byte, error) {
	h, _, err := OpenPath(ctx, dir, names...)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return ReadAll(ctx, h, max)
}

// ReadAll reads an open file to its end, which must not be longer than max bytes
// (EFBIG). The caller must not change what it gets.
func ReadAll(ctx context.Context, h Handle, max int) ([]byte, error) {
	if held, ok := h.(Held); ok {
		if c := held.Content(); len(c) <= max {
			if b, ok := h.(*Bytes); ok && b.once { // it is gone when h is closed
				c = bytes.Clone(c)
			}
			return c, nil
		}
		return nil, syscall.EFBIG
	}
	const first = 4096
	buf := make([]byte, min(first, max+1))
	n := 0
	for {
		m, err := h.ReadAt(ctx, buf[n:], int64(n))
		if err != nil {
			return nil, err
		}
		n += m
		if n < len(buf) {
			return buf[:n], nil
		}
		if n > max {
			return nil, syscall.EFBIG
		}
		buf = append(buf, make([]byte, min(len(buf), max+1-len(buf)))...)
	}
}
