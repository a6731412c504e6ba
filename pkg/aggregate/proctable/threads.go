package proctable

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Read-ahead of threads (ps -L, top -H, htop): where the policy lets it be cached, a process's
// list of threads comes with their attributes in one exchange, and so does a file of all threads
// of a process once it is read of two of them. Of who goes on so process after process the next
// exchange brings it of all processes of the node. As for processes, all is read as the requester.

// TaskDir is the path of the list of threads in a process's directory.
const TaskDir = "task"

// ThreadPath is the path of a file of a thread.
func ThreadPath(tid gpid.PID, name string) string {
	return TaskDir + "/" + strconv.Itoa(int(tid)) + "/" + name
}

// Threads are the threads of a process, by rising tid, as [ThreadList] caches them.
type Threads []byte

// A threadRow is a tid, 4 bytes little endian, and a snapshot.ThreadDir.
const threadRow = 4 + snapshot.ThreadDirSize

// newThreads are those of a content of snapshot.ThreadDirs.
func newThreads(content []byte) Threads {
	type thread struct {
		tid int32
		dir []byte
	}
	var all []thread
	for t := range snapshot.Threads(content) {
		if _, ok := snapshot.ParseThreadDir(t.Content); ok && t.TID <= gpid.MaxPID {
			all = append(all, thread{t.TID, t.Content})
		}
	}
	slices.SortFunc(all, func(a, b thread) int { return cmp.Compare(a.tid, b.tid) })
	list := make(Threads, 0, len(all)*threadRow)
	for i, t := range all {
		if i == 0 || t.tid != all[i-1].tid {
			list = append(binary.LittleEndian.AppendUint32(list, uint32(t.tid)), t.dir...)
		}
	}
	return list
}

// Len is how many there are.
func (l Threads) Len() int { return len(l) / threadRow }

// TID is the native tid of thread i, 0 <= i < Len().
func (l Threads) TID(i int) gpid.PID { return gpid.PID(binary.LittleEndian.Uint32(l[i*threadRow:])) }

// Find is the directory of a thread.
func (l Threads) Find(tid gpid.PID) (snapshot.ThreadDir, bool) {
	low, high := 0, l.Len()
	for low < high {
		middle := (low + high) / 2
		switch at := l.TID(middle); {
		case at == tid:
			return snapshot.ParseThreadDir(l[middle*threadRow+4 : (middle+1)*threadRow])
		case at < tid:
			low = middle + 1
		default:
			high = middle
		}
	}
	return snapshot.ThreadDir{}, false
}

// ThreadList is the list of a process's threads as an exchange has just brought it for who; not
// ok where the node has no such answers, or it fails. It is called when the list is not cached.
func (a *readAhead) ThreadList(ctx context.Context, who vfs.Identity, pid gpid.PID, leaf uint64) (list Threads, ok bool) {
	content, err, ok := a.ofThreads(ctx, who, pid, leaf, 0, "")
	return content, ok && err == nil
}

// ThreadFile is the file of that name of a thread as read-ahead has just brought it for who, not
// ok where read-ahead does not pay, or fails. It is called when the file is not cached.
func (a *readAhead) ThreadFile(ctx context.Context, who vfs.Identity, pid gpid.PID, leaf uint64, tid gpid.PID, name string) (content []byte, err error, ok bool) {
	return a.ofThreads(ctx, who, pid, leaf, tid, name)
}

// ofThreads is ThreadFile, or ThreadList with the name "".
func (a *readAhead) ofThreads(ctx context.Context, who vfs.Identity, pid gpid.PID, leaf uint64, tid gpid.PID, name string) (content []byte, err error, ok bool) {
	n, file, path := a.n, snapshot.ThreadDirs, TaskDir
	if name != "" {
		file, path = file+"/"+name, ThreadPath(tid, name)
	}
	if n.Store == nil {
		return nil, nil, false
	}
	rule := n.Store.Policy().Rule(string(n.Name), strconv.Itoa(int(pid))+"/"+path)
	h := habit{who.Key(), file}
	if rule.Cache <= 0 || n.Live() {
		return nil, nil, false
	}
	streak, same := n.streaks.next(h, processKey{n, leaf}, n.Now())
	cache := time.Duration(rule.Cache)
	// Who is in the middle of a process is not given all others anew.
	if streak && !same {
		if content, err, ok = a.fetchedThreads(ctx, h, who, 0, cache, pid, leaf, tid); ok {
			return content, err, ok
		}
	}
	if name == "" || same {
		return a.fetchedThreads(ctx, h, who, pid, cache, pid, leaf, tid)
	}
	return nil, nil, false
}

// fetchedThreads is what an exchange about one process, or all (0), has brought of a thread of
// the process pid, or the list of its threads (tid 0).
func (a *readAhead) fetchedThreads(ctx context.Context, h habit, who vfs.Identity, of gpid.PID, cache time.Duration, pid gpid.PID, leaf uint64, tid gpid.PID) (content []byte, err error, ok bool) {
	if of != 0 {
		h.name = strconv.Itoa(int(of)) + "/" + h.name
	}
	var t *snapshot.Table
	select {
	case r := <-a.flights.DoChan(h.reader+"\x00"+h.name, func() (any, error) { return a.bringThreads(h, who, of, cache), nil }):
		t = r.Val.(*snapshot.Table)
	case <-ctx.Done():
	}
	if t == nil {
		return nil, nil, false
	}
	i, found := t.Find(int32(pid))
	if !found || t.ID(i) != leaf {
		return nil, nil, false
	}
	raw, errno := t.File(i, 0)
	switch {
	case errno != 0:
		return nil, nil, false
	case tid == 0:
		return newThreads(raw), nil, true
	}
	for th := range snapshot.Threads(raw) {
		if th.TID == int32(tid) {
			content, err := threadContent(th)
			return content, err, !cachepolicy.Unanswered(err)
		}
	}
	return nil, nil, false
}

// threadContent is the file of a thread, or why there is none. The content is a copy.
func threadContent(t snapshot.Thread) ([]byte, error) {
	if t.Errno != 0 {
		return nil, t.Errno
	}
	return bytes.Clone(t.Content), nil
}

// bringThreads brings a file of all threads, or the lists of threads, of one process or of all
// (0), unless that was done not long ago.
func (a *readAhead) bringThreads(h habit, who vfs.Identity, of gpid.PID, cache time.Duration) *snapshot.Table {
	n := a.n
	if !n.Begin() {
		return nil
	}
	defer n.Done()
	if now := n.Now(); !a.due(h, now, now.Add(min(cache, readAheadMost))) {
		return nil
	}
	t, err := a.takeThreads(who, of, h.name)
	if err != nil {
		n.Log.Debug("read-ahead of threads", "file", h.name, "error", err)
		a.next.Add(h, n.Now().Add(readAheadRetry))
		return nil
	}
	return t
}

// takeThreads makes the exchange, and caches what it brings for who.
func (a *readAhead) takeThreads(who vfs.Identity, of gpid.PID, file string) (*snapshot.Table, error) {
	n := a.n
	k := n.Clock()
	if k == nil {
		return nil, fmt.Errorf("its boot is not known: %w", syscall.EAGAIN)
	}
	if of != 0 {
		file = file[len(strconv.Itoa(int(of)))+1:]
	}
	asked := n.Store.Now()
	t, _, err := n.SnapshotAs(who, snapshot.Request{Files: []string{file}, PID: int32(of)}, n.answerLimits())
	if errors.Is(err, errors.ErrUnsupported) && n.Reads(who) && of == 0 {
		t, _, err = n.exchangeSnapshot(file)
	}
	if err != nil {
		return nil, err
	}
	if t.Facts().BootID != k.BootID {
		return nil, fmt.Errorf("it was booted anew: %w", syscall.ESTALE)
	}
	name, _ := snapshot.ThreadFile(file)
	none := true
	for i := range t.Len() {
		raw, errno := t.File(i, 0)
		if errno != 0 { // it has none, or the leaf does not know such names
			continue
		}
		none = false
		key := cachepolicy.Key{Process: n.CacheKey(k, gpid.PID(t.PID(i)), t.ID(i)), Path: TaskDir, Reader: who.Key()}
		if name == "" {
			n.Store.Put(key, asked, newThreads(raw), nil)
			continue
		}
		for th := range snapshot.Threads(raw) {
			content, err := threadContent(th)
			if cachepolicy.Unanswered(err) {
				continue
			}
			key.Path = ThreadPath(gpid.PID(th.TID), name)
			n.Store.Put(key, asked, content, err)
		}
	}
	if none {
		return nil, fmt.Errorf("no process has a file %s: %w", file, syscall.ENOENT)
	}
	return t, nil
}
