package aggregate

import (
	"context"
	"errors"
	"hash/crc64"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// tableFile is a file of a process that sweeps bring. It holds no bytes and no
// table: a front may hold it for as long as the process lives, and longer.
type tableFile struct{ remoteFile }

// errAsk is the error of a file that a table does not have for somebody: who
// wants it asks the node. In a snapshot that a front end makes for another it
// stands in place of the content.
var errAsk = syscall.EAGAIN

// rowFile is a file of row i as r's viewer may have it, rewritten. r is the process
// directory or below it.
func (r *remote) rowFile(t *table, i int, name string) ([]byte, error) {
	k := t.fileIndex(name)
	if k < 0 {
		return nil, errAsk
	}
	if r.v.denies(r.path[0], name) {
		return nil, syscall.ENOENT
	}
	raw, errno := t.File(i, k)
	if errno != 0 {
		return nil, errno
	}
	switch r.n.form(t, i, r.v.identity()) {
	case unknown:
		return nil, errAsk
	case masked:
		var ok bool
		if raw, ok = mask(name, raw); !ok {
			return nil, errAsk
		}
	}
	return r.rewriteRow(t, name, raw)
}

// content returns the file as the table has it, or ok false where there is no
// good table that has it. keep is how much longer it is good.
func (f *tableFile) content() (bytes []byte, keep time.Duration, ok bool, err error) {
	t, i, keep, _ := f.held()
	if t == nil {
		return nil, 0, false, nil
	}
	bytes, err = f.rowFile(t, i, f.path[1])
	return bytes, keep, !errors.Is(err, errAsk), err
}

// Attr implements vfs.Node, with the exact size.
func (f *tableFile) Attr(ctx context.Context) (vfs.Attr, error) {
	f.renew()
	c, keep, ok, _ := f.content()
	if !ok {
		return f.remoteFile.Attr(ctx)
	}
	a := f.attr
	if t, i, _, _ := f.held(); t != nil {
		a = rowFileAttr(t, i, 0o444, keep)
	}
	a.ID, a.Size = f.id, uint64(len(c))
	return a, nil
}

// Preview is Attr: it costs nothing here.
func (f *tableFile) Preview() vfs.Attr {
	if _, _, ok, _ := f.content(); !ok {
		return f.remoteFile.Preview()
	}
	a, _ := f.Attr(context.Background())
	return a
}

// State implements vfs.Stater: what a difference between two sweeps does not name is
// what it was.
func (f *tableFile) State() (state uint64, ok bool) {
	t, i, _, form := f.held()
	k := f.n.clock.Load()
	if t == nil || k == nil || t.ChangedIn(i) == 0 {
		return 0, false
	}
	state = mix(mix(fnvOffset, t.ChangedIn(i)), uint64(form))
	if f.v.limited() { // whom it names may come to be hidden
		c, _, ok, err := f.content()
		if !ok || err != nil {
			return 0, false
		}
		state = mix(state, crc64.Checksum(c, crc64.MakeTable(crc64.ECMA)))
	}
	return finish(mix(state, uint64(k.facts.BootTime.UnixNano()))), true
}

// Open implements vfs.File.
func (f *tableFile) Open(ctx context.Context) (vfs.Handle, error) {
	f.renew()
	c, keep, ok, err := f.content()
	if !ok {
		return f.openRemote(ctx)
	}
	if err != nil {
		return nil, err
	}
	return vfs.NewBytes(c, keep), nil
}

// openRemote opens the file on the node, where no good table has it. One that is not
// answered within a sweep's time has its last value, where that may be shown.
func (f *tableFile) openRemote(ctx context.Context) (vfs.Handle, error) {
	t, now := f.n.table.Load(), f.n.now()
	if !f.n.showable(t, now) {
		return f.remoteFile.Open(ctx)
	}
	within, cancel := context.WithTimeout(ctx, f.n.timeouts().sweepWait())
	defer cancel()
	h, err := f.remoteFile.Open(within)
	if err == nil || ctx.Err() != nil || !cachepolicy.Unanswered(err) {
		return h, err
	}
	i, ok := t.Find(int32(f.proc.pid))
	owner := func() (uint32, bool) { return t.UID(i), true }
	if !ok || t.ID(i) != f.proc.leaf || !f.v.admits(f.n, owner, f.path) {
		return nil, err
	}
	c, lastErr := f.rowFile(t, i, f.path[1])
	if lastErr != nil {
		return nil, err
	}
	f.n.stale.Store(now.UnixNano())
	return vfs.NewBytes(c, 0), nil
}
