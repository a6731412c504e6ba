package ninep

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// TestNextDialect: however a server refuses a dialect, the next is tried, on another
// connection; and if it refuses all, the error says what it said to each.
func TestNextDialect(t *testing.T) {
	version := func(name string) func(net.Conn) {
		return func(c net.Conn) { c.Write(appendVersion(nil, noTag, 8192, name)) }
	}
	refusal := func(d dialect) func(net.Conn) {
		return func(c net.Conn) { c.Write(d.appendError(nil, noTag, syscall.EIO)) }
	}
	for name, tt := range map[string]struct {
		refuse func(net.Conn)
		told   string
	}{
		"Rlerror":      {refusal(dotL{}), "refuses"}, // diod's way
		"Rerror":       {refusal(plain{}), "i/o error"},
		"unknown":      {version("unknown"), `speaks "unknown"`},
		"another":      {version("9P1999"), `speaks "9P1999"`},
		"a hang-up":    {func(c net.Conn) { c.Close() }, "closed the connection at the first message"},
		"half a frame": {func(c net.Conn) { c.Write([]byte{19, 0, 0}); c.Close() }, "closed the connection at the first message"},
		"silence":      {func(c net.Conn) { io.Copy(io.Discard, c) }, "deadline"},
	} {
		for _, speaks := range []string{"9P2000.L", ""} {
			t.Run(name+" "+speaks, func(t *testing.T) {
				l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
				if err != nil {
					t.Fatal(err)
				}
				server := NewServer(ServerConfig{Tree: vfstest.NewTree(), Identify: believe, Log: discard()})
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				var work sync.WaitGroup
				defer work.Wait()
				defer cancel()
				defer l.Close()
				work.Go(func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						work.Go(func() {
							defer c.Close()
							in := newFrameReader(c, &spare, helloMsize)
							asked, err := in.next()
							var r request
							if err == nil {
								err = decodeVersion(asked, &r)
							}
							if err == nil && r.version == speaks {
								asked = slices.Clone(asked)
								server.ServeConn(ctx, &pushedBack{Conn: c, first: asked})
							} else if err == nil {
								tt.refuse(c)
							}
							in.release()
						})
					}
				})
				wait := patience
				if name == "silence" {
					wait = time.Second
				}
				try, end := context.WithTimeout(ctx, wait)
				defer end()
				c, err := NewClientOf(try, func(ctx context.Context) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "unix", l.Addr().String())
				}, ClientConfig{Log: discard()}, Dialects()...)
				switch {
				case speaks != "" && err != nil:
					t.Fatal(err)
				case speaks != "":
					if c.Dialect() != speaks {
						t.Errorf("it speaks %s", c.Dialect())
					}
					rootOf(t, c)
					c.Close()
				case err == nil:
					t.Error("it speaks something")
				default:
					silent := name == "silence" && errors.Is(err, context.DeadlineExceeded)
					if text := err.Error(); !silent && (!errors.Is(err, ErrDialect) || strings.Count(text, tt.told) != 2 || !strings.Contains(text, "in 9P2000.L: ")) {
						t.Errorf("told: %v", err)
					}
				}
			})
		}
	}
}

// pushedBack is a connection from which something has been read already. It is no
// socket.
type pushedBack struct {
	net.Conn
	first []byte
}

func (c *pushedBack) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
