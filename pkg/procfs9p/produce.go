package procfs9p

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"golang.org/x/sys/unix"
)

// produce is a [snapshot.Producer].
//
// One worker goes through the processes; produce watches it. Where the worker
// is stuck in one file for longer than Config.StallTimeout it is left behind, the
// file is ETIMEDOUT in the table, and another worker goes on behind it. When ctx
// ends, the processes not yet visited are counted as skipped and what there is
// is delivered.
func (l *Leaf) produce(ctx context.Context, b *snapshot.Builder, base *snapshot.Table, files []string) error {
	if err := l.guard.enter(); err != nil {
		return err
	}
	defer l.guard.leave()
	facts, err := l.facts()
	if err != nil {
		return err
	}
	pids, err := l.pids()
	if err != nil {
		return err
	}
	b.Reset(base, facts, files)
	b.Name(l.entryNames(ctx, pids))
	w := &sweeper{leaf: l, b: b, pids: pids, files: wantedFiles(files), asksStat: slices.Contains(files, "stat")}
	if err := w.watchHolding(ctx); err != nil {
		return err
	}
	b.Skip(len(w.pids) - w.at)
	return nil
}

// watchHolding is watch with the directories that are kept open, if they are free.
func (w *sweeper) watchHolding(ctx context.Context) error {
	held := w.leaf.dirs
	dirs, ok := held.take(w.pids)
	if !ok {
		return w.watch(ctx)
	}
	w.dirs = dirs
	err := w.watch(ctx)
	if err == nil {
		held.give(dirs)
		return nil
	}
	// A worker has them still.
	held.give(make(map[int32]heldDir))
	go func() {
		<-w.last
		closeDirs(dirs)
	}()
	return err
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
	raw, err := getdents(fd, (*pooled)[:0], l.cfg.MaxFile)
	if err != nil {
		return nil, err
	}
	pids := make([]pidIno, 0, len(raw)/24)
	for e := range dirents(raw) {
		if pid, ok := parsePID(e.name); ok {
			pids = append(pids, pidIno{pid, e.ino})
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
	done := w.start()
	for {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return w.wind(done)
		case now := <-tick.C:
			if at := w.place.Load(); at != last || at%2 == 0 {
				last, since = at, now
			} else if now.Sub(since) >= stall && w.leave(at) {
				done, since = w.start(), now
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
			return nil
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
