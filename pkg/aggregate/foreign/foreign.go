// Package foreign makes a leaf of a 9P server that is none: what it serves is read
// by walk and read alone, as any client reads it, and its snapshots are made here.
//
// A server whose files are those of Linux's /proc, which its version file shows, has
// processes; of any other, such as Plan 9's own /proc, the snapshots have none, and it
// is seen as it is, below nodes/.
//
// Such a server cannot read as a user, and what it may show to whom is unknown. So it
// is root's alone: nobody else can attach, and the facts say that processes are
// hidden from everybody else, whatever a view grants.
//
// Nothing that comes from it is believed. What a snapshot may hold, and how long it
// may take, is bounded; processes beyond that are counted as skipped, and so is every
// process that is listed and cannot be read, unless the server says that it is gone.
package foreign

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sync/semaphore"
)

// Config says what a foreign server is.
type Config struct {
	Aname string // what to attach to: its /proc
	Log   *slog.Logger
}

// snapshotName is the attach name of a leaf's snapshots.
const snapshotName = "snapshot"

// A Leaf is a tree like a leaf's, made of another.
type Leaf struct {
	server vfs.Tree
	cfg    Config
	born   time.Time
	turn   *semaphore.Weighted // one sweep at a time
	own    string              // a boot id for a server without one
}

// New makes a leaf of what server serves. bootID stands for the boot of a server that
// tells none; it should differ from one connection to the next.
func New(server vfs.Tree, cfg Config, bootID string) *Leaf {
	return &Leaf{server: server, cfg: cfg, born: time.Now(), turn: semaphore.NewWeighted(1), own: bootID}
}

// Attach implements vfs.Tree.
func (l *Leaf) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	if !who.IsRoot() {
		return nil, syscall.EACCES
	}
	switch aname {
	case "":
		return l.server.Attach(ctx, vfs.Root, l.cfg.Aname)
	case snapshotName:
		return snapshot.NewDir(vfs.Attr{ID: 1<<63 | 1, Mode: uint32(vfs.TypeDir) | 0o500, Nlink: 2, Mtime: l.born}, l.cfg.Log, l.answer), nil
	}
	return nil, syscall.ENOENT
}

// answer is a [snapshot.Source]. It remembers nothing: each answer is the whole.
func (l *Leaf) answer(ctx context.Context, req snapshot.Request) ([]byte, error) {
	t, err := l.sweep(ctx, req.Files)
	if err != nil {
		return nil, err
	}
	req.Remember = false
	return t.Answer(req, 0), nil
}

// sweep makes a table, one at a time.
func (l *Leaf) sweep(ctx context.Context, files []string) (*snapshot.Table, error) {
	if l.turn.Acquire(ctx, 1) != nil {
		return nil, context.Cause(ctx)
	}
	defer l.turn.Release(1)
	n, err := l.Attach(ctx, vfs.Root, "")
	if err != nil {
		return nil, err
	}
	root, ok := n.(vfs.Dir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	facts, linux, err := l.facts(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("what the server is: %w", err)
	}
	var b snapshot.Builder
	if !linux {
		b.Reset(nil, facts, files)
		return b.Table()
	}
	pids, err := listPIDs(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("the list of processes: %w", err)
	}
	found, skipped, why := visitAll(ctx, root, pids, files)
	if short := why == syscall.EMFILE || why == syscall.ENFILE || why == syscall.ENOMEM; skipped > 0 && (short || len(found) == 0) {
		return nil, fmt.Errorf("%d of %d processes: %w", skipped, len(pids), why)
	}
	facts.PageSize = pageSize(found, files)
	b.Reset(nil, facts, files)
	b.Skip(skipped, why)
	for _, p := range found {
		p.add(&b)
	}
	return b.Table()
}
