package vfstest

import (
	"bytes"
	"io"
	"os"
	"slices"
	"syscall"
)

// checkFiles reads files whole, in pieces and beyond their end, and links.
func (m *mount) checkFiles() {
	for _, f := range m.found {
		if slices.Contains(m.Blocked, f.path) {
			continue
		}
		var err error
		switch f.stat.Mode & syscall.S_IFMT {
		case syscall.S_IFREG:
			err = m.checkFile(f)
		case syscall.S_IFLNK:
			var text, again string
			if text, err = os.Readlink(m.at(f.path)); err == nil && !m.moving(f.path) {
				if again, err = os.Readlink(m.at(f.path)); again != text || text == "" {
					m.Errorf("%q: the link is %q, then %q", f.path, text, again)
				}
			}
		}
		if err != nil && !m.forgiven(f.path, err) {
			m.Errorf("%q: %v", f.path, err)
		}
	}
}

// checkFile reads one file through two descriptors.
func (m *mount) checkFile(f found) error {
	file, err := os.Open(m.at(f.path))
	if err != nil {
		return err
	}
	defer file.Close()
	whole, err := io.ReadAll(io.LimitReader(file, int64(m.MaxBytes)))
	if err != nil {
		return err
	}
	for _, size := range []int{1, 7, 1024, 4096} {
		most := min(len(whole), 100*size)
		got, err := io.ReadAll(io.NewSectionReader(fixedReads{file, size}, 0, int64(most)))
		if err != nil || !bytes.Equal(got, whole[:most]) {
			m.Errorf("%q: read by %d: %d bytes and %v, not the %d first ones as before", f.path, size, len(got), err, most)
		}
	}
	if len(whole) == m.MaxBytes {
		return nil
	}
	for _, off := range []int64{0, 1, 1 << 32} {
		n, err := syscall.Pread(int(file.Fd()), make([]byte, 10), int64(len(whole))+off)
		if n != 0 || err != nil {
			m.Errorf("%q: a read %d behind its end: %d bytes, %v", f.path, off, n, err)
		}
	}
	if n, err := syscall.Pread(int(file.Fd()), make([]byte, 2*len(whole)+1), 0); n != len(whole) || err != nil {
		m.Errorf("%q: one read for all of its %d bytes: %d, %v", f.path, len(whole), n, err)
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &stat); err != nil || stat.Size != 0 && stat.Size != int64(len(whole)) {
		m.Errorf("%q: open, its size is %d, its content has %d bytes (%v)", f.path, stat.Size, len(whole), err)
	}
	return nil
}

// fixedReads reads at most size bytes at a time.
type fixedReads struct {
	io.ReaderAt
	size int
}

func (r fixedReads) ReadAt(p []byte, off int64) (int, error) {
	return r.ReaderAt.ReadAt(p[:min(len(p), r.size)], off)
}
