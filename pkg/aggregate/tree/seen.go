package tree

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// What a view has of one node, as snapshots: for a front end on another machine that has the same
// identity (see Mirror). There is in them what the requester is listed and reads in the tree, and
// nothing else: the processes that they see, under their gpids, each file in the form that they may
// have, rewritten for their machine. Where the kernel of the node must say, they say proctable.ErrAsk
// in place of the content.

// seen makes the snapshots of one open rpc file.
type seen struct {
	v    viewTree
	n    *proctable.Node
	base *snapshot.Table // what was told last and is to be remembered; nil is nothing
	size atomic.Int64    // of base
}

// seenDir is the root of the snapshots of a view that has one node.
func seenDir(v viewTree) (vfs.Node, error) {
	nodes := v.Nodes()
	if len(nodes) != 1 {
		return nil, syscall.ENOENT
	}
	attr := v.t.base.Attr(objectid.Child(v.ID, upstream.SnapshotTree), vfs.TypeDir)
	return snapshot.NewOwnDir(attr, nodes[0].Log, func() snapshot.Own { return &seen{v: v, n: nodes[0]} }), nil
}

// Holds implements snapshot.Own.
func (s *seen) Holds() int64 { return s.size.Load() }

// Forget implements snapshot.Own.
func (s *seen) Forget() {
	s.base = nil
	s.size.Store(0)
}

// Answer implements snapshot.Own: what a sweep brings, or one other file that the policy lets be
// cached. EAGAIN is that it has just been asked for, and each is cached.
func (s *seen) Answer(ctx context.Context, req snapshot.Request) ([]byte, error) {
	if !s.v.Reaches(s.n) {
		return nil, syscall.ENOENT
	}
	if name := req.Files[0]; len(req.Files) == 1 && !slices.Contains(s.n.Policy().Prefetch(), name) {
		b := s.n.FileOfAll(ctx, s.v.Who, name)
		if b == nil {
			return nil, cmp.Or(ctx.Err(), error(proctable.ErrAsk))
		}
		t, err := s.table(nil, proctable.Roster{Table: b.Table}, req.Files, time.Millisecond, func(r proctable.Row, _ *remote.ProcessDir, name string) ([]byte, error) {
			content, err, ok := s.n.FileOf(b, r, s.v.Who, name)
			if !ok {
				return nil, proctable.ErrAsk
			}
			return content, err
		})
		if err != nil {
			return nil, err
		}
		req.Remember, req.Held = false, 0
		return t.Answer(req, 0), nil
	}
	w := proctable.NewWaits(ctx)
	defer w.End()
	r := s.n.Listing(w.Of(s.n), s.v.Who)
	if r.Table == nil {
		return nil, s.n.Short(r.Err)
	}
	base := s.base
	if !req.Remember {
		base = nil
	}
	keep := max(r.Table.Left(s.n.Now()), time.Millisecond)
	t, err := s.table(base, r, req.Files, keep, nil)
	if err != nil {
		return nil, err
	}
	if req.Remember {
		s.base = t
		s.size.Store(int64(t.Size()))
	}
	return t.Answer(req, 0), nil
}

// table is the rows of a roster that the view has. raw is a file of a row as the node gave it to the
// requester; nil is that the rows have it.
func (s *seen) table(base *snapshot.Table, r proctable.Roster, files []string, keep time.Duration, raw func(proctable.Row, *remote.ProcessDir, string) ([]byte, error)) (*snapshot.Table, error) {
	type one struct {
		g gpid.GPID
		proctable.Row
	}
	var rows []one
	for row := range r.Rows {
		if s.v.Sees(row.UID()) {
			if g := s.n.GPIDFor(s.v.Host, row.PID()); g != 0 {
				rows = append(rows, one{g, row})
			}
		}
	}
	if !s.v.t.Numbers.Rising() {
		slices.SortFunc(rows, func(a, b one) int { return cmp.Compare(a.g, b.g) })
	}
	k := r.Table.Clock
	if k == nil { // it is not of a sweep
		if k = s.n.Clock(); k == nil {
			return nil, s.n.Unwell()
		}
	}
	h, m := s.v.Host, k.Map(s.v.Host)
	facts := r.Table.Facts()
	// The rest has been decided: what times and sizes count in, and what is hidden.
	facts.BootTime, facts.Hz, facts.PageSize, facts.PIDMax = h.Boot, int(h.Hz), int(h.PageSize), gpid.Max
	facts.HidePID, facts.PIDGID, facts.Keep, facts.Age = 0, vfs.NoID, keep, 0
	b := new(snapshot.Builder)
	b.Reset(base, facts, files)
	b.Name(s.names(r.Table.Table.Names()))
	b.Skip(r.Table.Skipped(), r.Table.Facts().Lacks)
	for _, row := range rows {
		p := view.Of(s.n, row.Row)
		p.Map = m
		d := remote.NewProcessDir(s.v.View, s.v.ID, p, row.Attr(0))
		told := row.Table.Proc(row.I)
		told.PID, told.ID = int32(row.g), d.ID()
		b.Begin(told)
		form := s.n.Visibility(row.Row, s.v.Who)
		for _, name := range files {
			content, err := s.file(d, row.Row, form, name, raw)
			if err != nil {
				b.Fail(errnoOf(err))
			} else {
				b.Add(content)
			}
		}
	}
	return b.Table()
}

// file is a file of a row as the requester may have it.
func (s *seen) file(d *remote.ProcessDir, r proctable.Row, form proctable.Visibility, name string, raw func(proctable.Row, *remote.ProcessDir, string) ([]byte, error)) ([]byte, error) {
	if raw == nil {
		return d.RowContent(r, form, name)
	}
	path := strings.Split(name, "/")
	owner := func() (uint32, bool) { return r.UID(), true }
	if !s.v.Admits(s.n, owner, append([]string{strconv.Itoa(int(r.PID()))}, path...)) {
		return nil, syscall.ENOENT
	}
	content, err := raw(r, d, name)
	if err != nil {
		return nil, err
	}
	return d.Rewrite(r.Table, path, content)
}

// errnoOf is the number that an error has in a snapshot.
func errnoOf(err error) syscall.Errno {
	if errors.Is(err, proctable.ErrAsk) {
		return proctable.ErrAsk
	}
	return vfs.Errno(err)
}

// names are those in the directories of processes that exist for the view.
func (s *seen) names(all snapshot.Names) snapshot.Names {
	if !all.Known() || !s.v.Limited() && !s.v.Scope().DeniesSome() {
		return all
	}
	process, thread := all.Lists()
	hidden := func(path ...string) func(snapshot.Name) bool {
		return func(n snapshot.Name) bool {
			path := append(slices.Clip(path), n.Name)
			return s.v.Denies(path...) || s.v.Limited() && view.OfNetwork(path)
		}
	}
	return snapshot.NewNames(slices.DeleteFunc(process, hidden("1")), slices.DeleteFunc(thread, hidden("1", "task", "1")))
}
