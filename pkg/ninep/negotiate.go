package ninep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// ErrDialect is a server that does not speak the dialect that was asked for, or that
// refuses Tversion in any other way: some hang up.
var ErrDialect = errors.New("another dialect")

// Dialects are those that a Client speaks, in the order in which NewClientOf tries
// them with a server of which nothing is known.
func Dialects() []string { return []string{plain{}.name(), dotL{}.name()} }

// NewClientOf is NewClient in the first of these dialects that the server speaks,
// which the Client then tells (Dialect). Each is tried on a connection of its own, for
// many servers end one on which they were asked for another; all but the last are
// given up after their part of the time that ctx has.
func NewClientOf(ctx context.Context, dial func(context.Context) (net.Conn, error), cfg ClientConfig, dialects ...string) (*Client, error) {
	var refusals []error
	for i, name := range dialects {
		c, err := tryDialect(ctx, dial, cfg, name, len(dialects)-i)
		silent := errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
		if err == nil || !errors.Is(err, ErrDialect) && !silent {
			return c, err
		}
		refusals = append(refusals, fmt.Errorf("in %s: %w", name, err))
	}
	return nil, errors.Join(refusals...)
}

// tryDialect makes a Client, in one of the parts that are left of ctx's time.
func tryDialect(ctx context.Context, dial func(context.Context) (net.Conn, error), cfg ClientConfig, name string, parts int) (*Client, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	if end, ok := ctx.Deadline(); ok && parts > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(parts))
		defer cancel()
	}
	cfg.Dialect = name
	return NewClient(ctx, conn, cfg)
}

// Dialect is the dialect that the client speaks.
func (c *Client) Dialect() string { return c.cfg.Dialect }

func (c *Client) hello() error {
	if c.cfg.Dialect != (dotL{}).name() && c.cfg.Dialect != (plain{}).name() {
		return fmt.Errorf("no dialect %q is spoken here: it is %q or %q", c.cfg.Dialect, dotL{}.name(), plain{}.name())
	}
	b := appendVersion(nil, noTag, c.cfg.Msize, c.cfg.Dialect)
	b[4] = tVersion
	if _, err := c.conn.Write(b); err != nil {
		return refusal(explainTLS(farewell(c.conn, err)))
	}
	frame, err := c.in.next()
	if err != nil {
		return refusal(explainTLS(err))
	}
	k := cursor{b: frame[5:]}
	tag := k.u16()
	switch e := k; frame[4] {
	case tLerror + 1:
		return fmt.Errorf("%w: the server refuses %q: %w", ErrDialect, c.cfg.Dialect, errRemote(e.u32()))
	case tError + 1:
		return fmt.Errorf("%w: the server refuses %q: %s", ErrDialect, c.cfg.Dialect, quoted(e.str(maxString)))
	}
	msize, version := k.u32(), k.str(maxString)
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

// refusal is what the end of a connection means on which nothing but Tversion was
// sent.
func refusal(err error) error {
	if isHangUp(err) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it closed the connection at the first message: %w", ErrDialect, err)
	}
	return err
}
