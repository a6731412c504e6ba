package ninep

import (
	"context"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// enter is where one name leads for a client of this connection's dialect: where
// there are no links, one at the root may stand for a directory, see
// ServerConfig.Self.
func (c *conn) enter(ctx context.Context, at *place, name string) (*place, error) {
	next, err := at.step(ctx, name)
	if err != nil || !c.dialect.plan9() || next.node.Type() != vfs.TypeLink {
		return next, err
	}
	if !c.standsIn(at, name) {
		return next.standIn(ctx)
	}
	root, ok := at.node.(vfs.Dir)
	if !ok {
		return next, nil
	}
	n, _, err := vfs.WalkPath(ctx, root, strings.Split(c.srv.cfg.Self[name], "/")...)
	if err == nil && n.Type() != vfs.TypeDir {
		return next, nil
	}
	return next.as(n, err)
}

// standIn is what a link that leads out of the tree stands for.
func (p *place) standIn(ctx context.Context) (*place, error) {
	link, ok := p.node.(vfs.StandIn)
	if !ok {
		return p, nil
	}
	return p.as(link.StandIn(ctx))
}

// as is the place with what stands there in place of a link; where there is
// nothing, the link.
func (p *place) as(n vfs.Node, err error) (*place, error) {
	if err == nil && n != nil {
		return p.parent.child(p.name, n.ID(), n), nil
	}
	switch vfs.Errno(err) {
	case syscall.EINTR, syscall.ETIMEDOUT, syscall.EHOSTDOWN: // it may well lead somewhere
		return nil, err
	}
	return p, nil
}

// standsIn reports whether a name in at may stand for something else.
func (c *conn) standsIn(at *place, name string) bool {
	if at.parent != nil || !c.dialect.plan9() {
		return false
	}
	_, ok := c.srv.cfg.Self[name]
	return ok
}
