package procfs9p

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/procfs9p/dirents"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// produce is a [snapshot.Producer].
//
// One worker goes through the processes; produce watches it. Where the worker
// is stuck in one file for longer than Config.StallTimeout it is left behind, the
// file is ETIMEDOUT in the table, and another worker goes on behind it. When ctx
// ends, the processes not yet visited are counted as skipped and what there is
// is delivered. A shortage is an error: a table that lacks processes for want of
// descriptors or memory would look like that of a node where they do not exist.
func (l *Leaf) produce(ctx context.Context, b *snapshot.Builder, base *snapshot.Table, files []string) error {
	if err := l.guard.enter(); err != nil {
		return err
	}
	defer l.guard.leave()
	facts, pids, err := l.survey(ctx)
	if err != nil {
		return err
	}
	b.Reset(base, facts, files)
	b.Name(l.entryNames(ctx, pids))
	if hidden, err := l.hiddenFromItself(procfile.Options{HidePID: facts.HidePID, GID: facts.PIDGID}); err != nil {
		return err
	} else if hidden {
		b.Lack(syscall.EPERM)
	}
	return l.sweepInto(ctx, b, pids, files, nil)
}

// survey says what the node is and which processes it has.
func (l *Leaf) survey(ctx context.Context) (facts snapshot.Facts, pids []pidIno, err error) {
	if err := l.descriptors.Acquire(ctx); err != nil {
		return facts, nil, err
	}
	defer l.descriptors.Release()
	look := func() {
		if facts, err = l.facts(); err == nil {
			pids, err = l.pids()
		}
	}
	if look(); isShortage(err) && l.dirs.yield() {
		look()
	}
	return facts, pids, err
}

const (
	// formsFrom processes are enough to know how the files of all look; see
	// snapshot.Builder.Part.
	formsFrom = 64
	// partFrom is how many processes are worth a worker of their own.
	partFrom = 256
	// mostParts bounds the workers of one sweep.
	mostParts = 4
)

// sweepInto puts the processes into b, as they are read with the rights of as; nil is the leaf's
// own. Many are visited on several CPUs at once.
func (l *Leaf) sweepInto(ctx context.Context, b *snapshot.Builder, pids []pidIno, files []string, as *session) error {
	var dirs map[int32]heldDir
	have := false
	if as == nil { // the directories that are kept were opened with the leaf's rights
		dirs, have = l.dirs.take(pids)
	}
	parts := 1
	if many := len(pids) / partFrom; many > 1 {
		parts = min(many, runtime.GOMAXPROCS(0), mostParts)
	}
	asksStat := slices.Contains(files, "stat")
	sweep := func(b *snapshot.Builder, pids []pidIno) *sweeper {
		w := &sweeper{leaf: l, b: b, pids: pids, files: wantedFiles(files), as: as, asksStat: asksStat, dirs: dirs, most: l.cfg.MaxSweep / parts}
		if have {
			w.opened = make(map[int32]heldDir)
			w.mayOpen = max(0, l.dirs.mayKeep()-len(dirs)) / parts
		}
		return w
	}
	var sweeps []*sweeper
	var err error
	if parts > 1 {
		first := sweep(b, pids[:formsFrom])
		sweeps, pids = append(sweeps, first), pids[formsFrom:]
		err = first.watch(ctx)
	}
	var builders []*snapshot.Builder
	if err == nil {
		var running errgroup.Group
		for i := range parts {
			part := pids[i*len(pids)/parts : (i+1)*len(pids)/parts]
			into := b
			if parts > 1 {
				into = b.Part(part[0].pid)
				builders = append(builders, into)
			}
			w := sweep(into, part)
			sweeps = append(sweeps, w)
			running.Go(func() error { return w.watch(ctx) })
		}
		err = running.Wait()
	}
	if have {
		l.giveBack(dirs, sweeps, err)
	}
	if err != nil {
		return err
	}
	for _, p := range builders {
		b.Join(p)
	}
	for _, w := range sweeps {
		b.Skip(w.unread, w.why)
		left := syscall.EFBIG // more than Config.MaxSweep
		if ctx.Err() != nil {
			left = syscall.ETIMEDOUT
		}
		b.Skip(len(w.pids)-w.at, left)
		if unread := w.why; b.Len() == 0 && unread != 0 {
			return unread // of none
		}
	}
	return nil
}

// giveBack keeps the directories open for the next sweep. After an error a worker may
// have them still, until it ends.
func (l *Leaf) giveBack(dirs map[int32]heldDir, sweeps []*sweeper, err error) {
	if err == nil {
		for _, w := range sweeps {
			maps.Copy(dirs, w.opened)
		}
		if l.dirs.mayKeep() == 0 {
			closeDirs(dirs)
			clear(dirs)
		}
		l.dirs.give(dirs)
		return
	}
	l.dirs.give(make(map[int32]heldDir))
	go func() {
		for _, w := range sweeps {
			if w.last != nil {
				<-w.last
			}
			closeDirs(w.opened)
		}
		closeDirs(dirs)
	}()
}

// pids lists the processes, by rising pid.
func (l *Leaf) pids() ([]pidIno, error) {
	fd, err := openAt(l.rootFD(), ".", openDir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	pooled := l.bufs.Get().(*[]byte)
	defer l.bufs.Put(pooled)
	raw, err := dirents.Read(fd, (*pooled)[:0], l.cfg.MaxFile)
	if err != nil {
		return nil, err
	}
	pids := make([]pidIno, 0, len(raw)/24)
	for e := range dirents.All(raw) {
		if pid, ok := parsePID(e.Name); ok {
			pids = append(pids, pidIno{pid, e.Ino})
		}
	}
	// The kernel lists them so; the format depends on it.
	slices.SortFunc(pids, func(a, b pidIno) int { return int(a.pid) - int(b.pid) })
	l.procs.keep(pids)
	return slices.CompactFunc(pids, func(a, b pidIno) bool { return a.pid == b.pid }), nil
}

// watch runs workers until all processes are visited or ctx ends.
func (w *sweeper) watch(ctx context.Context) error {
	stall := w.leaf.cfg.StallTimeout
	tick := time.NewTicker(max(stall/4, time.Millisecond))
	defer tick.Stop()
	var last uint64
	since := time.Now()
	done := w.start(ctx)
	for {
		select {
		case <-done:
			return w.err
		case <-ctx.Done():
			return w.wind(done)
		case now := <-tick.C:
			if at := w.place.Load(); at != last || at%2 == 0 {
				last, since = at, now
			} else if now.Sub(since) >= stall && w.leave(at) {
				done, since = w.start(ctx), now
			}
		}
	}
}

// wind ends the sweep: the worker stops at the next process, or is left behind
// where it is in something that may block. One that does neither in time takes
// the buffer with it.
func (w *sweeper) wind(done <-chan struct{}) error {
	w.stop.Store(true)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(w.leaf.cfg.StallTimeout)
	for {
		select {
		case <-done:
			return w.err
		case now := <-tick.C:
			if at := w.place.Load(); at%2 == 1 && now.After(end) && w.leave(at) {
				w.finishRecord()
				return nil
			}
			if now.After(end.Add(w.leaf.cfg.StallTimeout)) {
				return syscall.ETIMEDOUT
			}
		}
	}
}

// finishRecord completes the record begun, none of whose further files was read.
func (w *sweeper) finishRecord() {
	for w.b.Missing() > 0 {
		w.b.Fail(syscall.ETIMEDOUT)
	}
	w.at, w.file = w.at+1, 0
}
