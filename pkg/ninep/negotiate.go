package ninep

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// negotiate exchanges Tversion and Rversion, before anything else uses the
// connection.
func (c *Client) negotiate(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		c.conn.SetDeadline(time.Unix(1, 0)) // long past: what waits ends
	})
	err := c.hello()
	if !stop() && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// ErrDialect is a server that does not speak the dialect that was asked for.
var ErrDialect = errors.New("another dialect")

func (c *Client) hello() error {
	if c.cfg.Dialect != (dotL{}).name() && c.cfg.Dialect != (plain{}).name() {
		return fmt.Errorf("no dialect %q is spoken here: it is %q or %q", c.cfg.Dialect, dotL{}.name(), plain{}.name())
	}
	b := appendVersion(nil, noTag, c.cfg.Msize, c.cfg.Dialect)
	b[4] = tVersion
	if _, err := c.conn.Write(b); err != nil {
		return explainTLS(farewell(c.conn, err))
	}
	frame, err := c.in.next()
	if err != nil {
		return explainTLS(err)
	}
	k := cursor{b: frame[5:]}
	tag, msize, version := k.u16(), k.u32(), k.str(maxString)
	switch {
	case frame[4] != tVersion+1 || tag != noTag || k.end() != nil:
		return fmt.Errorf("the answer to Tversion, of type %d, is no Rversion", frame[4])
	case version != c.cfg.Dialect:
		return fmt.Errorf("%w: the server speaks %q, not %q", ErrDialect, version, c.cfg.Dialect)
	case msize > c.cfg.Msize || msize < MinMsize:
		return fmt.Errorf("the server wants frames of %d bytes, which is not within %d and %d", msize, MinMsize, c.cfg.Msize)
	}
	c.msize, c.in.max = msize, msize
	return nil
}
