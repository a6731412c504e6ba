package vfstest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"
)

// A dirent is one struct linux_dirent64, see getdents(2).
type dirent struct {
	name  string
	inode uint64
	next  int64
	kind  uint32 // d_type: the type bits of st_mode, shifted by 12
}

// entries lists a directory with a buffer of that many bytes.
func (m *mount) entries(path string, buffer int) ([]dirent, error) {
	fd, err := syscall.Open(m.at(path), syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	return getdents(fd, buffer)
}

// getdents reads on to the end of an open directory, without "." and "..".
func getdents(fd, buffer int) ([]dirent, error) {
	const header = 19 // bytes before d_name
	var all []dirent
	buf := make([]byte, buffer)
	for {
		n, err := syscall.Getdents(fd, buf)
		if err != nil || n <= 0 {
			return all, err
		}
		for rest := buf[:n]; len(rest) >= header; {
			length := binary.NativeEndian.Uint16(rest[16:])
			name, _, _ := bytes.Cut(rest[header:length], []byte{0})
			if e := (dirent{
				name: string(name), inode: binary.NativeEndian.Uint64(rest),
				next: int64(binary.NativeEndian.Uint64(rest[8:])), kind: uint32(rest[18]),
			}); e.name != "." && e.name != ".." {
				all = append(all, e)
			}
			rest = rest[length:]
		}
	}
}

// checkListings reads directories with small buffers, and from each entry on.
func (m *mount) checkListings() {
	const (
		most   = 30  // directories
		small  = 300 // bytes: one entry of the longest name
		places = 20  // where reading is resumed
	)
	looked := 0
	for _, f := range m.found {
		if !f.isType(syscall.S_IFDIR) || m.moving(f.path) {
			continue
		}
		if looked++; looked > most {
			return
		}
		whole, err := m.entries(f.path, 64<<10)
		if err != nil {
			continue // said by the survey
		}
		if got, err := m.entries(f.path, small); err != nil || !slices.EqualFunc(got, whole, sameName) {
			m.Errorf("%q: read in small pieces: %d entries and %v, want %d", f.path, len(got), err, len(whole))
		}
		fd, err := syscall.Open(m.at(f.path), syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
		if err != nil {
			m.Errorf("%q: open: %v", f.path, err)
			return
		}
		for i := 0; i < len(whole); i += max(1, len(whole)/places) {
			_, err := syscall.Seek(fd, whole[i].next, 0)
			if err != nil {
				m.Errorf("%q: seek to %d: %v", f.path, whole[i].next, err)
				break
			}
			if got, err := getdents(fd, 4096); err != nil || !slices.EqualFunc(got, whole[i+1:], sameName) {
				m.Errorf("%q: resumed behind %q: %d entries and %v, want %d", f.path, whole[i].name, len(got), err, len(whole)-i-1)
			}
		}
		syscall.Close(fd)
	}
}

func sameName(a, b dirent) bool { return a.name == b.name && a.inode == b.inode && a.kind == b.kind }

// checkReadOnly tries to change things.
func (m *mount) checkReadOnly() {
	refused := func(op, path string, err error) {
		if !errors.Is(err, syscall.EROFS) && !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EPERM) {
			m.Errorf("%q: %s: %v, not EROFS", path, op, err)
		}
	}
	tried := make(map[uint32]int)
	for _, f := range m.found {
		const each = 5 // entries of each type
		kind := f.stat.Mode & syscall.S_IFMT
		if tried[kind]++; tried[kind] > each || m.moving(f.path) || f.path == "" {
			continue
		}
		path := m.at(f.path)
		refused("chmod", f.path, syscall.Fchmodat(-100, path, 0o777, 0))
		switch kind {
		case syscall.S_IFDIR:
			refused("mkdir", f.path, os.Mkdir(path+"/new", 0o777))
			refused("rmdir", f.path, syscall.Rmdir(path))
			if _, err := os.ReadFile(path); !errors.Is(err, syscall.EISDIR) {
				m.Errorf("%q: read(2) of a directory: %v, not EISDIR", f.path, err)
			}
		case syscall.S_IFREG:
			file, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				file.Close()
			}
			refused("open for writing", f.path, err)
			refused("unlink", f.path, syscall.Unlink(path))
		case syscall.S_IFLNK:
			tried[kind] = each // chmod follows links: one has been enough
		}
	}
}

// checkConcurrency reads everything from several goroutines.
func (m *mount) checkConcurrency() {
	const workers = 8
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range m.found {
				f := m.found[(i+w*len(m.found)/workers)%len(m.found)]
				if m.moving(f.path) || m.MayFail(f.path) || slices.Contains(m.Blocked, f.path) {
					continue
				}
				var s syscall.Stat_t
				if err := syscall.Lstat(m.at(f.path), &s); err != nil || s.Ino != f.stat.Ino {
					m.Errorf("%q: beside others: inode %d, then %d, %v", f.path, f.stat.Ino, s.Ino, err)
				}
				if f.isType(syscall.S_IFREG) {
					if err := m.checkFile(f); err != nil && !m.forgiven(f.path, err) {
						m.Errorf("%q: beside others: %v", f.path, err)
					}
				}
			}
		})
	}
	wg.Wait()
}
