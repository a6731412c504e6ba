package userdb

import (
	"bufio"
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Payer says on whose account what is held for a user is, where there are limits by
// user. It decides no rights. Its methods may be called concurrently.
type Payer struct {
	path  string
	uid   func(name string) (uint32, bool)
	named func(uid uint32) bool

	mu     sync.Mutex
	seen   fileState // of what ranges were read from
	asked  time.Time // when it was looked at
	ranges []idRange // by first
}

// NewPayer reads subordinate ids from the file at path, which is as subuid(5) has it;
// SubuidFile is the usual one. uid finds a user's number by name or number, and named
// says whether the user database has a number.
func NewPayer(path string, uid func(name string) (uint32, bool), named func(uid uint32) bool) *Payer {
	return &Payer{path: path, uid: uid, named: named}
}

// SubuidFile is where subordinate ids are written down.
const SubuidFile = "/etc/subuid"

// Payer is a Payer that asks d.
func (d *DB) Payer(path string) *Payer {
	return NewPayer(path, d.UID, func(uid uint32) bool {
		_, err := d.ByUID(context.Background(), uid)
		return err == nil
	})
}

// Of is who pays for a user: the owner of a subordinate id, else the user, and whether
// the user database has them. The file is asked first: to ask the database about each
// of 65536 ids takes long.
func (p *Payer) Of(uid uint32) (owner uint32, named bool) {
	if name, ok := p.ownerOf(uid); ok {
		if owner, ok := p.uid(name); ok && owner != 0 {
			return owner, true
		}
	}
	return uid, p.named(uid)
}

type idRange struct {
	first, count uint32
	owner        string
}

type fileState struct {
	size int64
	time time.Time
	ok   bool
}

const (
	// maxSubuid bounds the file, in bytes; what is behind that is not read.
	maxSubuid = 4 << 20
	// subuidAge is how long the file is taken to be as it was.
	subuidAge = time.Second
)

func (p *Payer) ownerOf(uid uint32) (name string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.asked) > subuidAge || now.Before(p.asked) {
		p.asked = now
		p.renewLocked()
	}
	i, found := slices.BinarySearchFunc(p.ranges, uid, func(r idRange, uid uint32) int {
		switch {
		case r.first > uid:
			return 1
		case uid-r.first >= r.count:
			return -1
		}
		return 0
	})
	if !found {
		return "", false
	}
	return p.ranges[i].owner, true
}

// renewLocked reads the file if it has changed. One that is not there has no ranges.
func (p *Payer) renewLocked() {
	var now fileState
	if info, err := os.Stat(p.path); err == nil && info.Mode().IsRegular() {
		now = fileState{info.Size(), info.ModTime(), true}
	}
	if now == p.seen {
		return
	}
	p.seen, p.ranges = now, nil
	if !now.ok {
		return
	}
	f, err := os.Open(p.path)
	if err != nil {
		p.seen = fileState{}
		return
	}
	defer f.Close()
	p.ranges = parseSubuid(io.LimitReader(f, maxSubuid))
}

// parseSubuid reads lines of OWNER:FIRST:COUNT, rising. A line that is none is left
// out, and so is what another has in part.
func parseSubuid(r io.Reader) []idRange {
	var all []idRange
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(f) != 3 || f[0] == "" {
			continue
		}
		first, ok1 := number(f[1])
		count, ok2 := number(f[2])
		if !ok1 || !ok2 || count == 0 || first == 0 || uint64(first)+uint64(count) > 1<<32 {
			continue
		}
		all = append(all, idRange{first, count, f[0]})
	}
	slices.SortStableFunc(all, func(a, b idRange) int {
		switch {
		case a.first < b.first:
			return -1
		case a.first > b.first:
			return 1
		}
		return 0
	})
	kept := all[:0]
	for _, r := range all {
		if n := len(kept); n > 0 && r.first-kept[n-1].first < kept[n-1].count {
			continue
		}
		kept = append(kept, r)
	}
	return kept
}
