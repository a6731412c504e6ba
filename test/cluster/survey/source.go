package survey

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A source is what is surveyed. Paths are relative to its root, which is "".
type source interface {
	list(rel string) ([]name, error)
	read(rel string) ([]byte, error)
	link(rel string) (string, error)
}

type name struct {
	name string
	kind vfs.Type
}

// directory is a source in the file system.
type directory string

func (d directory) at(rel string) string { return filepath.Join(string(d), rel) }

func (d directory) list(rel string) ([]name, error) {
	entries, err := os.ReadDir(d.at(rel))
	if err != nil {
		return nil, err
	}
	names := make([]name, len(entries))
	for i, e := range entries {
		kind := vfs.TypeFile
		switch {
		case e.IsDir():
			kind = vfs.TypeDir
		case e.Type()&os.ModeSymlink != 0:
			kind = vfs.TypeLink
		}
		names[i] = name{e.Name(), kind}
	}
	return names, nil
}

func (d directory) read(rel string) ([]byte, error) {
	f, err := os.OpenFile(d.at(rel), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSum))
}

func (d directory) link(rel string) (string, error) { return os.Readlink(d.at(rel)) }

// tree is a source that is a vfs tree.
type tree struct {
	ctx  context.Context
	root vfs.Dir
}

func (t tree) walk(rel string) (vfs.Node, error) {
	var names []string
	if rel != "" {
		names = strings.Split(rel, "/")
	}
	n, _, err := vfs.WalkPath(t.ctx, t.root, names...)
	return n, err
}

func (t tree) list(rel string) ([]name, error) {
	n, err := t.walk(rel)
	if err != nil {
		return nil, err
	}
	dir, ok := n.(vfs.Dir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	h, err := dir.List(t.ctx)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	var names []name
	for offset := uint64(0); ; {
		got, err := h.ReadDir(t.ctx, offset, nil, 1000)
		if err != nil || len(got) == 0 {
			slices.SortFunc(names, func(a, b name) int { return cmp.Compare(a.name, b.name) })
			return names, err
		}
		for _, e := range got {
			names = append(names, name{e.Name, e.Type})
			offset = e.Next
		}
	}
}

func (t tree) read(rel string) ([]byte, error) {
	h, _, err := vfs.OpenPath(t.ctx, t.root, strings.Split(rel, "/")...)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	buf := make([]byte, maxSum)
	n := 0
	for n < len(buf) {
		m, err := h.ReadAt(t.ctx, buf[n:], int64(n))
		if err != nil {
			return nil, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return buf[:n], nil
}

func (t tree) link(rel string) (string, error) {
	n, err := t.walk(rel)
	if err != nil {
		return "", err
	}
	l, ok := n.(vfs.Link)
	if !ok {
		return "", syscall.EINVAL
	}
	return l.Readlink(t.ctx)
}
