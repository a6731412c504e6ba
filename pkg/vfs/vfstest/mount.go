package vfstest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestMount checks a directory of a read-only mount by system calls, see
// path_resolution(7), getdents(2), pread(2) and inode(7): what the contract of
// package vfs promises must come through. Of the options, those that need a
// vfs.Tree (Tree, Who, Aname, Others, Ending) are not looked at.
func TestMount(t *testing.T, dir string, opts Options) {
	t.Helper()
	m := newMount(dir, opts)
	for _, c := range mountChecks {
		t.Run(c.name, func(t *testing.T) {
			m.reporter = t
			c.run(m)
		})
	}
}

// mountChecks are the parts in their order: the first finds what the others
// look at.
var mountChecks = []struct {
	name string
	run  func(*mount)
}{
	{"Survey", (*mount).survey},
	{"Missing", (*mount).checkMissing},
	{"Listings", (*mount).checkListings},
	{"Files", (*mount).checkFiles},
	{"ReadOnly", (*mount).checkReadOnly},
	{"Concurrency", (*mount).checkConcurrency},
}

// A mount is one run over one mounted directory.
type mount struct {
	suite
	dir   string
	found []found
}

// found is one entry of the mount.
type found struct {
	path string
	stat syscall.Stat_t
}

func (f found) isType(t uint32) bool { return f.stat.Mode&syscall.S_IFMT == t }

func newMount(dir string, opts Options) *mount {
	return &mount{suite: suite{Options: opts.withDefaults()}, dir: dir}
}

func (m *mount) at(path string) string { return filepath.Join(m.dir, path) }

// survey visits breadth first; listing, type and inode number must agree with
// lstat(2).
func (m *mount) survey() {
	var top syscall.Stat_t
	if err := syscall.Lstat(m.dir, &top); err != nil {
		m.Errorf("%s: %v", m.dir, err)
		return
	}
	m.found = []found{{"", top}}
	byInode := map[uint64]string{top.Ino: ""}
	for i := 0; i < len(m.found) && len(m.found) < m.MaxEntries; i++ {
		parent := m.found[i]
		if !parent.isType(syscall.S_IFDIR) {
			continue
		}
		entries, err := m.entries(parent.path, 64<<10)
		if err != nil && !m.forgiven(parent.path, err) {
			m.Errorf("%q: listing: %v", parent.path, err)
		}
		names := make(map[string]bool)
		for _, e := range entries {
			path := join(parent.path, e.name)
			if names[e.name] {
				m.Errorf("%q is listed twice", path)
			}
			names[e.name] = true
			if m.Skip(path) || len(m.found) == m.MaxEntries {
				continue
			}
			f := found{path: path}
			if err := syscall.Lstat(m.at(path), &f.stat); err != nil {
				if !m.forgiven(path, err) {
					m.Errorf("%q is listed, but lstat fails: %v", path, err)
				}
				continue
			}
			if m.moving(path) {
				m.found = append(m.found, f)
				continue
			}
			if e.inode != f.stat.Ino || e.kind != f.stat.Mode&syscall.S_IFMT>>12 {
				m.Errorf("%q: listed as inode %d, type %d; lstat has %d, mode %#o", path, e.inode, e.kind, f.stat.Ino, f.stat.Mode)
			}
			if other, twice := byInode[f.stat.Ino]; twice && !m.Same(other, path) {
				m.Errorf("%q and %q have the same inode number %d", other, path, f.stat.Ino)
			}
			byInode[f.stat.Ino] = path
			m.found = append(m.found, f)
		}
	}
}

// checkMissing looks for names that are not there.
func (m *mount) checkMissing() {
	const most = 50 // directories and files each
	dirs, files := 0, 0
	for _, f := range m.found {
		if f.isType(syscall.S_IFDIR) {
			if dirs++; dirs > most || m.moving(f.path) {
				continue
			}
			for _, name := range strange {
				if slices.Contains(m.Unlisted, join(f.path, name)) {
					continue
				}
				for range 2 { // the second answer may be the kernel's
					if _, err := os.Lstat(m.at(f.path) + "/" + name); !errors.Is(err, fs.ErrNotExist) {
						m.Errorf("%q: %q: %v, not ENOENT", f.path, name, err)
					}
				}
			}
			continue
		}
		if files++; f.isType(syscall.S_IFREG) && files <= most && !m.moving(f.path) {
			if _, err := os.Lstat(m.at(f.path) + "/x"); !errors.Is(err, syscall.ENOTDIR) {
				m.Errorf("%q: a name below it: %v, not ENOTDIR", f.path, err)
			}
		}
	}
	if _, err := os.Lstat(m.dir + "/" + strings.Repeat("x", 256)); !errors.Is(err, syscall.ENAMETOOLONG) && !errors.Is(err, fs.ErrNotExist) {
		m.Errorf("a name of 256 bytes: %v, not ENAMETOOLONG or, as procfs has it, ENOENT", err)
	}
	for _, path := range m.Unlisted {
		if _, err := os.Lstat(m.at(path)); err != nil {
			m.Errorf("%q: %v", path, err)
		}
	}
}
