package actions

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// startOf is when a process began, as field 22 of its stat file has it in the tree.
func (s *Session) startOf(ctx context.Context, p *view.Process) (int64, error) {
	m, err := p.Node.MapFor(ctx, s.Host)
	if err != nil {
		return 0, p.Node.Short(err)
	}
	var stat []byte
	if row, _ := p.Node.Lookup(p.PID, p.Leaf); row.OK() {
		stat, _ = row.File(proctable.Full, "stat")
	}
	if stat == nil {
		err := p.Node.Call(ctx, s.Who, func(ctx context.Context, root vfs.Dir) error {
			h, ids, err := vfs.OpenPath(ctx, root, strconv.Itoa(int(p.PID)), "stat")
			if err != nil {
				return err
			}
			defer h.Close()
			if len(ids) == 0 || ids[0] != p.Leaf {
				return errGone
			}
			stat, err = vfs.ReadAll(ctx, h, 8<<10)
			stat = append([]byte(nil), stat...) // it may be cleared when it is closed
			return err
		})
		if err != nil {
			if vfs.Errno(err) == syscall.ENOENT {
				err = errGone
			}
			return 0, p.Node.Short(err)
		}
	}
	start, ok := procfile.StartTime(stat)
	if !ok {
		return 0, fmt.Errorf("its start time is not known: %w", syscall.EIO)
	}
	return m.Start(start), nil
}

// Process is the file ctl of a process. What is written is done when the write returns, whose
// error is the kernel's: a line an action, in their order, until one fails.
func (s *Session) Process(p *view.Process, attr vfs.Attr) vfs.File {
	attr.Mode, attr.Keep, attr.KeepName, attr.Size = uint32(vfs.TypeFile)|0o200, 0, 0, 0
	attr.UID, attr.GID, attr.Nlink = s.Who.UID, s.Who.GID, 1
	return &ctl{s, p, attr}
}

// A ctl is the file ctl of a process.
type ctl struct {
	s    *Session
	p    *view.Process
	attr vfs.Attr
}

// exists is ENOENT if the process, or the file, does not exist for the requester any more.
func (c *ctl) exists() error {
	if !c.s.Allowed() || !c.s.Admits(c.p.Node, c.p.Owner, []string{strconv.Itoa(int(c.p.PID))}) {
		return syscall.ENOENT
	}
	return nil
}

// ID implements vfs.Node.
func (c *ctl) ID() uint64 { return c.attr.ID }

// Type implements vfs.Node.
func (c *ctl) Type() vfs.Type { return vfs.TypeFile }

// Attr implements vfs.Node.
func (c *ctl) Attr(ctx context.Context) (vfs.Attr, error) { return c.attr, c.exists() }

// Open implements vfs.File.
func (c *ctl) Open(context.Context) (vfs.Handle, error) {
	if err := c.exists(); err != nil {
		return nil, err
	}
	return openCtl{c}, nil
}

type openCtl struct{ *ctl }

// WriteAt implements vfs.Writer.
func (o openCtl) WriteAt(ctx context.Context, p []byte, _ int64) (int, error) {
	if err := o.exists(); err != nil {
		return 0, err
	}
	if len(p) > control.MaxLine {
		return 0, syscall.EMSGSIZE
	}
	var requests []control.Request
	for line := range strings.Lines(string(p)) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		a, err := control.ParseAction(strings.Fields(line))
		if err != nil {
			return 0, fmt.Errorf("%w: %w", syscall.EINVAL, err)
		}
		requests = append(requests, control.Request{Action: a})
	}
	// One deadline for all of them: a write ends, however slow its node is.
	ctx, cancel := context.WithTimeout(ctx, o.p.Node.Limits().Read)
	defer cancel()
	for _, r := range requests {
		if err := o.do(ctx, r); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// do carries out one action.
func (o openCtl) do(ctx context.Context, r control.Request) error {
	s, n := o.s, o.p.Node
	r.Target = strconv.Itoa(int(o.p.PID))
	if g := n.GPID(o.p.PID); g != 0 {
		r.Target = g.String()
	}
	t := &task{Request: r, node: n, pid: o.p.PID}
	t.nativeOf(o.p)
	if t.err = s.allowed(r.Action); t.err == nil {
		s.sendSome(ctx, n, []*task{t})
	}
	s.note(t, vfs.Errno(t.err))
	return t.err
}

// ReadAt implements vfs.Handle: there is nothing to read.
func (openCtl) ReadAt(context.Context, []byte, int64) (int, error) { return 0, nil }

// Close implements vfs.Handle.
func (openCtl) Close() error { return nil }
