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
	if err != nil || !c.standsIn(at, name) || next.node.Type() != vfs.TypeLink {
		return next, err
	}
	root, ok := at.node.(vfs.Dir)
	if !ok {
		return next, nil
	}
	n, _, err := vfs.WalkPath(ctx, root, strings.Split(c.srv.cfg.Self[name], "/")...)
	if err == nil && n.Type() == vfs.TypeDir {
		return at.child(name, n.ID(), n), nil
	}
	switch vfs.Errno(err) {
	case syscall.EINTR, syscall.ETIMEDOUT: // it may well lead somewhere
		return nil, err
	}
	return next, nil
}

// standsIn tells whether a name in at may stand for something else.
func (c *conn) standsIn(at *place, name string) bool {
	if at.parent != nil || !c.dialect.plan9() {
		return false
	}
	_, ok := c.srv.cfg.Self[name]
	return ok
}
