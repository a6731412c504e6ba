package paged

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	magic      = "agrpages"
	recordSize = 16
	gone       = 1 << 31 // of a record's p: it is given back
	syncDelay  = time.Second
)

// A record is one entry of the journal.
type record struct{ index, page, p uint32 }

func (r record) append(b []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, r.index)
	b = binary.LittleEndian.AppendUint32(b, r.page)
	b = binary.LittleEndian.AppendUint32(b, r.p)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

// parseRecord reads an entry; not ok is one that is not whole.
func parseRecord(b []byte) (r record, ok bool) {
	if len(b) < recordSize || binary.LittleEndian.Uint32(b[12:]) != crc32.ChecksumIEEE(b[:12]) {
		return r, false
	}
	r = record{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])}
	return r, r.index >= 1 && r.index <= MaxIndex && r.page <= MaxPID/PageSize && r.p&^gone < Pages
}

// A journal is the open file. It is guarded by Space.mu.
type journal struct {
	f     *os.File
	timer *time.Timer // syncs it; nil while there is nothing to sync
	wait  sync.WaitGroup
}

// Open reads the journal at path, which need not exist yet, and keeps it. It is an error
// if another process has it open.
func Open(path string) (*Space, error) { return open(path, Pages, time.Now) }

func open(path string, total uint32, now func() time.Time) (s *Space, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("journal of global pids: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("journal of global pids: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := lock(f); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("journal of global pids: %w", err)
	}
	s = newSpace(total, now)
	whole, records, err := s.replay(raw)
	if err != nil {
		return nil, fmt.Errorf("journal of global pids %s: %w; restore it, or remove it to deal all anew (gpids will change)", path, err)
	}
	s.file = &journal{f: f}
	if live := s.dealt(); records > 2*(live+len(s.free))+1024 || len(raw) == 0 {
		if err := s.rewrite(path); err != nil {
			return nil, err
		}
		return s, nil
	}
	if err := f.Truncate(int64(whole)); err != nil {
		return nil, fmt.Errorf("journal of global pids: %w", err)
	}
	if _, err := f.Seek(int64(whole), io.SeekStart); err != nil {
		return nil, fmt.Errorf("journal of global pids: %w", err)
	}
	return s, nil
}

func lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("journal of global pids %s: another aggrfs has it; two cannot deal from one space, so let this one have a state file of its own", f.Name())
	}
	if err != nil {
		return fmt.Errorf("journal of global pids %s: %w", f.Name(), err)
	}
	return nil
}

// replay does what a journal says, and returns how much of it is whole, in bytes, and how
// many records that is.
func (s *Space) replay(raw []byte) (whole, records int, err error) {
	if len(raw) < len(magic) {
		return 0, 0, nil // a file that was just made
	}
	if string(raw[:len(magic)]) != magic {
		return 0, 0, errors.New("it is none")
	}
	whole = len(magic)
	for whole+recordSize <= len(raw) {
		r, ok := parseRecord(raw[whole:])
		if !ok {
			break
		}
		if err := s.apply(r); err != nil {
			return 0, 0, fmt.Errorf("record %d: %w", records+1, err)
		}
		whole += recordSize
		records++
	}
	if rest := len(raw) - whole; rest >= 2*recordSize {
		return 0, 0, fmt.Errorf("record %d is damaged, and there are %d bytes behind it", records+1, rest)
	}
	// What lies between pages that were dealt was given back before the journal was
	// last written anew.
	return whole, records, nil
}

// apply does what one record says.
func (s *Space) apply(r record) error {
	p, index := r.p&^gone, int(r.index)
	_, _, taken := s.Split(number(p, 1))
	n := s.node(index)
	if r.p&gone != 0 {
		if n == nil {
			return fmt.Errorf("page %d is given back by a node that has none", p)
		}
		if had, ok := n.dealt[r.page]; !ok || had != p {
			return fmt.Errorf("page %d is given back by a node that does not have it", p)
		}
		s.take(index, r.page, p)
		return nil
	}
	if taken {
		return fmt.Errorf("page %d is dealt twice", p)
	}
	if n != nil {
		if _, ok := n.dealt[r.page]; ok {
			return fmt.Errorf("pids %d to %d of node %d are dealt for twice", r.page*PageSize, r.page*PageSize+PageSize-1, r.index)
		}
	}
	for ; s.fresh < p; s.fresh++ { // passed over: given back long ago
		s.free = append(s.free, s.fresh)
	}
	if s.fresh == p {
		s.fresh++
	} else {
		for i, f := range s.free {
			if f == p {
				s.free = append(s.free[:i], s.free[i+1:]...)
				break
			}
		}
	}
	s.put(index, r.page, p)
	return nil
}

// dealt is how many pages are.
func (s *Space) dealt() (n int) {
	for _, node := range *s.nodes.Load() {
		if node != nil {
			n += len(node.dealt)
		}
	}
	return n
}

// rewrite puts a journal of what is dealt now in place of the old one.
func (s *Space) rewrite(path string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".pages-*")
	if err != nil {
		return fmt.Errorf("journal of global pids: %w", err)
	}
	defer os.Remove(tmp.Name())
	raw := []byte(magic)
	for p := range s.fresh {
		if w := s.word0(p); w&ownerValid != 0 {
			index, page := unpackOwner(w)
			raw = record{uint32(index), page, p}.append(raw)
		}
	}
	_, err = tmp.Write(raw)
	for _, step := range []func() error{func() error { return tmp.Chmod(0o644) }, tmp.Sync, func() error { return lock(tmp) }, func() error { return os.Rename(tmp.Name(), path) }} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		tmp.Close()
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("journal of global pids %s: %w", path, err)
		}
		return fmt.Errorf("journal of global pids: %w", err)
	}
	s.file.f.Close()
	s.file.f = tmp
	return nil
}

// word0 is the owner of any page, 0 for none.
func (s *Space) word0(p uint32) uint64 {
	if c := s.owner[p/spaceSize].Load(); c != nil {
		return c[p%spaceSize].Load()
	}
	return 0
}

// note writes a record. s.mu is held.
func (s *Space) note(r record) error {
	if s.file == nil {
		return nil
	}
	if _, err := s.file.f.Write(r.append(nil)); err != nil {
		return fmt.Errorf("journal of global pids: %w", err)
	}
	if s.file.timer == nil {
		s.file.wait.Add(1)
		file := s.file
		s.file.timer = time.AfterFunc(syncDelay, func() {
			defer file.wait.Done()
			s.mu.Lock()
			file.timer = nil
			f := file.f
			s.mu.Unlock()
			f.Sync()
		})
	}
	return nil
}

// Close syncs the journal and lets go of it.
func (s *Space) Close() error {
	s.mu.Lock()
	file := s.file
	if file == nil {
		s.mu.Unlock()
		return nil
	}
	if file.timer != nil && file.timer.Stop() {
		file.timer = nil
		file.wait.Done()
	}
	s.mu.Unlock()
	file.wait.Wait()
	return errors.Join(file.f.Sync(), file.f.Close())
}
