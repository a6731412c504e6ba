package fusefs

// Which names of a directory have ended.
//
// Nobody looks a name up again whose process is gone, so the kernel would keep
// it, and all that it found below, until its memory runs short. A listing
// tells: what an earlier one named and this one, read to its end, does not name
// is gone. Names that no listing ever named (those of threads in a /proc) say
// nothing by their absence and are left alone.
//
// Listings have numbers. Every child is stamped with the newest one whenever
// any listing names it, and a directory's children are kept in the order of
// their stamps: to name one puts it at the end, and what is gone stands at the
// beginning. So a listing from which nothing is missing costs a few pointers
// for each entry and one comparison at its end. A stamp may be newer than the
// listing that it was given by: the child then stays for one listing more.
//
// All of it is guarded by inodes.mu.
type listed struct {
	number       uint64 // of the newest listing when one named it last; 0: none did, or it has ended
	by           uint64 // who listed, see viewer.mark: others may see other names
	older, newer *inode // its neighbours among the parent's children that have a number

	// Of a directory:
	oldest, newest *inode
	missed         map[string]struct{} // names that the newest listing gave and that are no inodes yet
}

// maxMissed is how many names without an inode a directory remembers.
const maxMissed = 4096

// beginListing returns the number of a new listing of dir.
func (t *inodes) beginListing(dir *inode) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listings++
	dir.listed.missed = nil
	return t.listings
}

// list notes that a listing names an entry without entering it, which a LOOKUP
// may do later.
func (t *inodes) list(dir *inode, name string, by uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.byName[place{dir.id, name}]; i != nil {
		t.stampLocked(i, by)
		return
	}
	l := &dir.listed
	if l.missed == nil {
		l.missed = make(map[string]struct{})
	}
	if len(l.missed) < maxMissed {
		l.missed[name] = struct{}{}
	}
}

// wasMissedLocked reports whether list was told of a name that is entered now.
func (l *listed) wasMissedLocked(name string) bool {
	_, was := l.missed[name]
	delete(l.missed, name)
	return was
}

// stampLocked notes that a listing names i.
func (t *inodes) stampLocked(i *inode, by uint64) {
	if i.listed.number == t.listings && i.listed.by == by || t.listings == 0 {
		return
	}
	i.unlistLocked()
	l, dir := &i.listed, &i.parent.listed
	l.number, l.by, l.older = t.listings, by, dir.newest
	if dir.newest != nil {
		dir.newest.listed.newer = i
	} else {
		dir.oldest = i
	}
	dir.newest = i
}

// unlistLocked takes i out of its directory's order.
func (i *inode) unlistLocked() {
	l := &i.listed
	if l.number == 0 {
		return
	}
	dir := &i.parent.listed
	if l.older != nil {
		l.older.listed.newer = l.newer
	} else {
		dir.oldest = l.newer
	}
	if l.newer != nil {
		l.newer.listed.older = l.older
	} else {
		dir.newest = l.older
	}
	l.number, l.older, l.newer = 0, nil, nil
}

// anyEnded reports whether a whole listing of that number has left something out
// that an earlier one by the same had named.
func (t *inodes) anyEnded(dir *inode, number, by uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return dir.endedLocked(number, by) != nil
}

// takeEnded returns one child that has ended, only once; nil if there is none.
func (t *inodes) takeEnded(dir *inode, number, by uint64) *inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := dir.endedLocked(number, by)
	if i != nil {
		i.unlistLocked()
	}
	return i
}

func (i *inode) endedLocked(number, by uint64) *inode {
	for c := i.listed.oldest; c != nil && c.listed.number < number; c = c.listed.newer {
		if c.listed.by == by {
			return c
		}
	}
	return nil
}
