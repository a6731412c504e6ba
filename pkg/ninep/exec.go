package ninep

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// execute carries j out: it has j's fid to itself. What it returns is what the
// client is told, or errLeft.
func (c *conn) execute(j *job) (err error) {
	c.mu.Lock()
	if j.cancelled != nil && !j.releases() {
		err = j.cancelled
		c.mu.Unlock()
		return err
	}
	ctx := new(reqCtx)
	ctx.Init(c.srv.values, j.deadline)
	j.ctx = ctx
	c.mu.Unlock()
	defer func() {
		if ctx.forbidLeaving() {
			err = errLeft
		}
		ctx.cancel(context.Canceled)
	}()
	defer c.rescue(&err)
	return c.perform(ctx, j)
}

func (c *conn) perform(ctx *reqCtx, j *job) error {
	f := j.own
	switch j.req.op {
	case opAttach:
		return c.attach(ctx, j, f)
	case opAuth:
		return c.authenticate(j, f)
	case opWalk:
		return c.walk(ctx, j, f)
	}
	if f.at == nil {
		return syscall.EBADF
	}
	switch j.req.op {
	case opOpen:
		return c.openFid(ctx, j, f)
	case opRead:
		return c.read(ctx, j, f)
	case opReaddir:
		return c.readdir(ctx, j, f)
	case opWrite:
		return c.write(ctx, j, f)
	case opGetattr:
		return c.getattr(ctx, j, f)
	case opReadlink:
		return c.readlink(ctx, j, f)
	case opStatfs:
		return nil
	case opClunk, opRemove:
		open, counted := f.take()
		c.release(counted)
		if open != nil {
			c.close(open)
		}
		if j.req.op == opRemove {
			return syscall.EROFS
		}
		return nil
	}
	return syscall.EOPNOTSUPP
}

func (c *conn) attach(ctx context.Context, j *job, f *fid) error {
	r := &j.req
	if f.at != nil {
		return errFidInUse
	}
	root, who, err := c.root(ctx, r)
	c.srv.audit.attach(c.peer, c.payer, r, who, err, c.memo)
	if err != nil {
		return err
	}
	if err := c.admit(root); err != nil {
		return err
	}
	if err := c.stand(f, rootPlace(root, c.srv.payer(c.peer, *who))); err != nil {
		return err
	}
	j.rep.qids = append(j.rep.walked[:0], qidOf(root))
	return nil
}

// admit notes that somebody has attached to a root. Over plain TCP it is known now
// who the connection is for; where that has no more places, it ends.
func (c *conn) admit(root vfs.Node) error {
	if !c.viewed.Load() && !isVacant(root) {
		c.viewed.Store(true)
	}
	if c.attached.Load() {
		return nil
	}
	if err := c.srv.door.admit(c.place, c.payer, c.srv.cfg.Trusted(c.peer)); err != nil {
		c.fail(err)
		return syscall.ENFILE
	}
	c.attached.Store(true)
	return nil
}

// root attaches to the tree. The identity is nil where nobody was identified.
func (c *conn) root(ctx context.Context, r *request) (vfs.Node, *vfs.Identity, error) {
	claim := Claim{Uname: r.uname, NUname: r.nuname, Aname: r.aname}
	if r.afid != noFID {
		var err error
		if claim.Credential, err = c.credentialOf(r.afid); err != nil {
			return nil, nil, err
		}
	}
	claim.Proven = c.proven.Load()
	who, err := c.srv.cfg.Identify(c.peer, claim)
	if err != nil {
		return nil, nil, err
	}
	if claim.Credential != nil {
		c.proven.Store(&who)
	}
	root, err := c.srv.cfg.Tree.Attach(vfs.WithOrigin(ctx, vfs.Origin{Peer: c.peer.String(), Cert: c.peer.Cert}), who, r.aname)
	if err == nil && root == nil {
		err = syscall.EIO
	}
	return root, &who, err
}

func (c *conn) getattr(ctx context.Context, j *job, f *fid) error {
	n, err := f.at.open(ctx)
	if err != nil {
		return err
	}
	if j.rep.attr, err = n.Attr(ctx); err != nil {
		return err
	}
	if j.rep.name = f.at.name; f.at.parent == nil {
		j.rep.name = "/"
	}
	q := qidOf(n)
	if f.held { // what is open is known exactly
		q.version = f.version
		j.rep.attr.Size = uint64(len(f.content))
	}
	j.rep.qids = append(j.rep.walked[:0], q)
	return nil
}

func (c *conn) readlink(ctx context.Context, j *job, f *fid) error {
	n, err := f.at.open(ctx)
	if err != nil {
		return err
	}
	l, ok := n.(vfs.Link)
	if !ok {
		return syscall.EINVAL
	}
	if j.rep.text, err = l.Readlink(ctx); err != nil {
		return err
	}
	if len(j.rep.text) > min(maxString, int(c.msize-c.dialect.overhead(opReadlink))) {
		return syscall.ENAMETOOLONG
	}
	return nil
}
