package gpid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/atomicfile"
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
	for _, field := range []uint32{r.index, r.page, r.p} {
		b = binary.LittleEndian.AppendUint32(b, field)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

// parseRecord reads an entry; not ok is one that is not whole.
func parseRecord(b []byte) (r record, ok bool) {
	le := binary.LittleEndian
	r = record{le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[8:])}
	return r, le.Uint32(b[12:]) == crc32.ChecksumIEEE(b[:12]) &&
		r.index >= 1 && r.index <= maxPagedIndex && r.page <= lastNative && r.p&^gone < allPages
}

// A journal is the open file. It is guarded by pages.mu.
type journal struct {
	f     *os.File
	torn  error       // why nothing can be written any more
	timer *time.Timer // syncs it; nil while there is nothing to sync
	wait  sync.WaitGroup
}

// openPages reads the journal at path, which need not exist yet, and keeps it. It is an
// error if another process has it open.
func openPages(path string, total uint32, now func() time.Time) (*pages, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("journal of global pids: %w", err)
	}
	s := newPages(total, now)
	s.file = &journal{f: f}
	if err := s.read(); err != nil {
		s.file.f.Close()
		return nil, fmt.Errorf("journal of global pids %s: %w", path, err)
	}
	return s, nil
}

// read takes the journal, does what it says, and makes it ready for more.
func (s *pages) read() error {
	f := s.file.f
	if err := lock(f); err != nil {
		return err
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	whole, err := s.replay(raw)
	if err != nil {
		return fmt.Errorf("%w; restore it, or remove it to deal all anew (gpids will change)", err)
	}
	if whole > 0 && whole/recordSize <= 2*int(s.fresh)+1024 {
		return f.Truncate(int64(whole))
	}
	raw = []byte(magic)
	for p := range s.fresh {
		if w := s.owner.at(p).Load(); w&ownerValid != 0 {
			index, page := unpackOwner(w)
			raw = record{uint32(index), page, p}.append(raw)
		}
	}
	if p := s.fresh; p > 0 && s.owner.at(p-1).Load()&ownerValid == 0 {
		// How far numbers were dealt is told by one that was given back; see PIDMax.
		last := record{maxPagedIndex, 0, p - 1}
		if _, has := s.find(maxPagedIndex, 0); !has {
			raw = record{last.index, last.page, last.p | gone}.append(last.append(raw))
		}
	}
	anew, err := atomicfile.Create(f.Name(), 0o644)
	if err != nil {
		return err
	}
	_, err = anew.Write(raw)
	if err == nil {
		err = lock(anew.File)
	}
	if err == nil {
		err = anew.Replace()
	}
	if err != nil {
		anew.Discard()
		return err
	}
	s.file.f = anew.File
	return f.Close()
}

func lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errors.New("another aggrfs has it; two cannot deal from one space, so let this one have a state file of its own")
	}
	return err
}

// replay does what a journal says, and returns how much of it is whole, in bytes.
func (s *pages) replay(raw []byte) (whole int, err error) {
	if len(raw) < len(magic) {
		return 0, nil // a file that was just made
	}
	if string(raw[:len(magic)]) != magic {
		return 0, errors.New("it is none")
	}
	for whole = len(magic); whole+recordSize <= len(raw); whole += recordSize {
		r, ok := parseRecord(raw[whole:])
		if !ok {
			break
		}
		if err := s.apply(r); err != nil {
			return 0, fmt.Errorf("record %d: %w", whole/recordSize+1, err)
		}
	}
	if left := len(raw) - whole; left >= 2*recordSize {
		return 0, fmt.Errorf("record %d is damaged, and there are %d bytes behind it", whole/recordSize+1, left)
	}
	return whole, nil
}

// apply does what one record says.
func (s *pages) apply(r record) error {
	p, index := r.p&^gone, int(r.index)
	had, has := s.find(index, r.page)
	switch {
	case r.p&gone != 0:
		if !has || had != p {
			return fmt.Errorf("page %d is given back by a node that does not have it", p)
		}
		s.takeLocked(index, r.page, p)
		return nil
	case s.owner.at(p).Load()&ownerValid != 0:
		return fmt.Errorf("page %d is dealt twice", p)
	case has:
		return fmt.Errorf("pids %d to %d of node %d are dealt for twice", r.page*pageSize, r.page*pageSize+pageSize-1, index)
	}
	if p < s.fresh {
		if i := slices.Index(s.free, p); i >= 0 { // else it is one that is dealt no more
			s.free = slices.Delete(s.free, i, i+1)
		}
	}
	// What lies between pages that were dealt was given back before the journal was
	// last written anew.
	for ; s.fresh <= p; s.fresh++ {
		if s.fresh < p && s.fresh < s.total {
			s.free = append(s.free, s.fresh)
		}
	}
	s.putLocked(index, r.page, p)
	return nil
}

// noteLocked writes a record.
func (s *pages) noteLocked(r record) error {
	file := s.file
	if file == nil {
		return nil
	}
	if file.torn != nil {
		return file.torn
	}
	if n, err := file.f.Write(r.append(nil)); err != nil {
		err = fmt.Errorf("journal of global pids: %w", err)
		if n > 0 && dropTail(file.f, n) != nil {
			file.torn = err // what comes behind a part of a record could not be read
		}
		return err
	}
	if file.timer == nil {
		file.wait.Add(1)
		file.timer = time.AfterFunc(syncDelay, func() {
			defer file.wait.Done()
			s.mu.Lock()
			file.timer = nil
			s.mu.Unlock()
			file.f.Sync()
		})
	}
	return nil
}

// dropTail takes the last n bytes off a file.
func dropTail(f *os.File, n int) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := info.Size() - int64(n)
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err = f.Seek(end, io.SeekStart)
	return err
}

// close syncs the journal and lets go of it.
func (s *pages) close() error {
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
