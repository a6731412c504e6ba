package aggregate

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxKeep bounds how long an upstream can have its answer kept.
const maxKeep = time.Minute

// snapshotName is the attach name of a leaf's snapshots. A subtree's are at
// snapshotName + its own attach name.
const snapshotName = "snapshot"

// An openRPC is a leaf's rpc file, kept open from one exchange to the next.
type openRPC struct {
	file snapshot.RPC
	dir  vfs.Dir // that it was found in: another one after each connection
}

// takeSnapshot has the node say what its processes are, as they were at most maxAge
// ago, or what has changed since the table that is held.
func (n *node) takeSnapshot(maxAge time.Duration) (*table, error) {
	asked := n.now()
	policy := n.policy()
	var base *snapshot.Table
	if t := n.table.Load(); t != nil && !t.orphan {
		base = t.Table
	}
	t, err := n.ask(snapshot.Request{Files: policy.Prefetch(), Remember: true, MaxAge: maxAge}, base)
	if err != nil {
		return nil, err
	}
	facts := t.Facts()
	keep := policy.Table()
	if facts.Keep > 0 {
		keep = min(facts.Keep, maxKeep)
	}
	// One that took longer to get than it may be kept would be of no use to whoever
	// reads on from it. A node's is good for as long as it took, at least; that of a
	// cluster, which makes all of it anew each time, for three times as long.
	took, times := n.now().Sub(asked), time.Duration(2)
	if n.cluster {
		times = 4
	}
	moment := asked.Add(-min(facts.Age, maxAge))
	return &table{Table: t, asked: asked, moment: moment, took: took, expires: moment.Add(max(keep, times*took))}, nil
}

// exchangeSnapshot has the node say what certain files of its processes are.
func (n *node) exchangeSnapshot(files ...string) (*snapshot.Table, error) {
	return n.ask(snapshot.Request{Files: files}, nil)
}

// maxExpect is how much is asked for at most before the length of an answer is known,
// in bytes. The first difference is shorter than the whole before it.
const maxExpect = 16 << 10

// ask makes one exchange for a snapshot; base is what is held of the same files, nil for
// nothing.
func (n *node) ask(req snapshot.Request, base *snapshot.Table) (t *snapshot.Table, err error) {
	// Its time begins when there is a connection to ask by.
	if err := n.awaitTried(n.ctx); err != nil {
		return nil, err
	}
	limits := n.answerLimits()
	if base != nil {
		limits.Expect = min(base.Received()+base.Received()/4, maxExpect)
	}
	err = n.callAt(n.ctx, n.reader, snapshotName+n.aname, func(ctx context.Context, dir vfs.Dir) error {
		h, err := n.takeRPC(ctx, dir)
		if err != nil {
			return err
		}
		if t, err = snapshot.Fetch(ctx, h.file, req, base, limits); err != nil {
			h.file.Close()
			return err
		}
		n.giveRPC(h)
		return nil
	})
	var much *snapshot.ErrTooMuch
	switch {
	case errors.As(err, &much) && !much.PIDMax && !n.cluster:
		return nil, fmt.Errorf("snapshot: %w (max_processes in the configuration)", err)
	case err != nil:
		return nil, fmt.Errorf("snapshot: %w%s", err, remedy(err))
	}
	return t, nil
}

// answerLimits bound what the node can answer. A node's processes, unlike a cluster's, are
// those of one machine.
func (n *node) answerLimits() (l snapshot.Limits) {
	l.Room, l.Turn = n.room.limits(n.healthNow().sweep != nil)
	if !n.cluster {
		l.Procs, l.Answer = n.maxProcs, max(minAnswer, n.maxProcs*perProcess)
	}
	return l
}

const (
	// perProcess is how many bytes of answer a node may have for each process that it
	// may have: twice what the files of most come to.
	perProcess = 1 << 10
	// minAnswer is what it may have in any case, in bytes: some processes have arguments
	// of 64 KiB.
	minAnswer = 32 << 20
)

// takeRPC returns the rpc file that was kept open, or opens it.
func (n *node) takeRPC(ctx context.Context, dir vfs.Dir) (*openRPC, error) {
	n.mu.Lock()
	h := n.rpc
	n.rpc = nil
	n.mu.Unlock()
	if h != nil {
		if h.dir == dir {
			return h, nil
		}
		h.file.Close() // of a connection that has ended
	}
	rpc, err := openSweepFile(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &openRPC{rpc, dir}, nil
}

// giveRPC keeps the rpc file open for the next exchange. One is enough: whoever found it
// taken has opened another.
func (n *node) giveRPC(h *openRPC) {
	n.mu.Lock()
	old := n.rpc
	n.rpc = h
	n.mu.Unlock()
	if old != nil {
		old.file.Close()
	}
}

// A writeOpener is a file that must be told when it is opened for writing too.
// A 9P client's are; in-process files return a handle that takes writes anyway.
type writeOpener interface {
	OpenRW(ctx context.Context) (vfs.Handle, error)
}

// openSweepFile opens the rpc file of a snapshot tree.
func openSweepFile(ctx context.Context, dir vfs.Dir) (snapshot.RPC, error) {
	file, err := dir.Walk(ctx, snapshot.SweepFile)
	if err != nil {
		return nil, err
	}
	var h vfs.Handle
	switch f := file.(type) {
	case writeOpener:
		h, err = f.OpenRW(ctx)
	case vfs.File:
		h, err = f.Open(ctx)
	default:
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, err
	}
	rpc, ok := h.(snapshot.RPC)
	if !ok {
		h.Close()
		return nil, syscall.EROFS
	}
	return rpc, nil
}
