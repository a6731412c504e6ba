package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/test/peers/stage"
)

// The most that a message of either side has room for, in bytes.
const (
	ourMsize = ninep.MaxMsize
	p9Msize  = 4 << 20
)

// together compares both ends of a connection in one process, over a unix socket.
func together(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "aggrfs-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var listen net.ListenConfig
	open := func(name string) (net.Listener, error) { return listen.Listen(ctx, "unix", filepath.Join(dir, name)) }
	ours, err := open("ours")
	if err != nil {
		return err
	}
	go serveOurs(ctx, ours)
	p9, err := open("p9")
	if err != nil {
		return err
	}
	defer p9.Close()
	go serveP9(p9)

	dial := func(name string) net.Conn {
		conn, e := net.Dial("unix", filepath.Join(dir, name))
		err = errors.Join(err, e)
		return conn
	}
	a, e := newOurClient(ctx, dial("ours"), ninep.ClientConfig{Msize: ourMsize}, "")
	err = errors.Join(err, e)
	kept, e := newOurClient(ctx, dial("ours"), ninep.ClientConfig{Foreign: true}, "")
	err = errors.Join(err, e)
	b, e := newP9Client(dial("p9"), 64<<10)
	err = errors.Join(err, e)
	large, e := newP9Client(dial("p9"), p9Msize)
	if err = errors.Join(err, e); err != nil {
		return err
	}
	defer a.close()
	defer kept.close()
	defer b.close()
	defer large.close()
	const against = "/hugelgupf"
	if err := reads(against, kept, b); err != nil {
		return err
	}
	if err := files(against, a, b); err != nil {
		return err
	}
	if err := readdir(against, a, b); err != nil {
		return err
	}
	if err := bulk(against, a, large); err != nil {
		return err
	}
	return limit("9p-limit", kept, func() (io.ReadWriteCloser, func(), error) { return echoHere(dir) })
}

// reads are of an open file: a Tread of as many bytes as it has.
func reads(against string, ours, other peer) error {
	for _, many := range []int{1, 32} {
		x, y, err := compare(reading(ours, many), reading(other, many))
		if err != nil {
			return err
		}
		faster(fmt.Sprintf("9p-read-%d%s", many, against), x, y)
	}
	return nil
}

func reading(p peer, many int) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		read, closeFile, err := p.reader(stage.Status)
		if err != nil {
			return 0, err
		}
		defer closeFile()
		buffers := make(chan []byte, many)
		for range many {
			buffers <- make([]byte, stage.Small)
		}
		return each(20000, many, func() error {
			buf := <-buffers
			n, err := read(buf, 0)
			buffers <- buf
			if err == nil && n != stage.Small {
				err = fmt.Errorf("read %d bytes", n)
			}
			return err
		})
	}
}

// files are walked to, opened, read and let go.
func files(against string, ours, other peer) error {
	for _, many := range []int{1, 32} {
		filing := func(p peer) func() (time.Duration, error) {
			return func() (time.Duration, error) {
				buffers := make(chan []byte, many)
				for range many {
					buffers <- make([]byte, stage.Small+1)
				}
				return each(5000, many, func() error {
					buf := <-buffers
					n, err := p.file(stage.Status, buf)
					buffers <- buf
					if err == nil && n != stage.Small {
						err = fmt.Errorf("read %d bytes", n)
					}
					return err
				})
			}
		}
		x, y, err := compare(filing(ours), filing(other))
		if err != nil {
			return err
		}
		faster(fmt.Sprintf("9p-file-%d%s", many, against), x, y)
	}
	return nil
}

func readdir(against string, ours, other peer) error {
	listing := func(p peer) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			return each(20, 1, func() error {
				n, err := p.list(stage.Many)
				if err == nil && n != stage.Entries {
					err = fmt.Errorf("%d entries", n)
				}
				return err
			})
		}
	}
	x, y, err := compare(listing(ours), listing(other))
	if err != nil {
		return err
	}
	faster("9p-readdir"+against, x, y)
	return nil
}

func bulk(against string, ours, other peer) error {
	buf := make([]byte, stage.Large)
	all := func(p peer) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			read, closeFile, err := p.reader(stage.Bulk)
			if err != nil {
				return 0, err
			}
			defer closeFile()
			return each(1, 1, func() error {
				n, err := read(buf, 0)
				if err == nil && n != stage.Large {
					err = fmt.Errorf("read %d bytes", n)
				}
				return err
			})
		}
	}
	x, y, err := compare(all(ours), all(other))
	if err != nil {
		return err
	}
	faster("9p-bulk"+against, x, y)
	return nil
}

// limit compares a Tread with a bare request and answer of the same sizes: what no
// protocol is faster than.
func limit(name string, ours peer, echo func() (io.ReadWriteCloser, func(), error)) error {
	conn, stop, err := echo()
	if err != nil {
		return err
	}
	defer stop()
	defer conn.Close()
	request, answer := make([]byte, requestSize), make([]byte, answerSize)
	bare := func() (time.Duration, error) {
		return each(20000, 1, func() error {
			if _, err := conn.Write(request); err != nil {
				return err
			}
			_, err := io.ReadFull(conn, answer)
			return err
		})
	}
	x, y, err := compare(reading(ours, 1), bare)
	if err != nil {
		return err
	}
	slower(name+"/bare", x, y)
	return nil
}

// Sizes of a Tread and of its answer, in bytes.
const (
	requestSize = 23
	answerSize  = 11 + stage.Small
)

// echoHere is a connection to a goroutine that answers.
func echoHere(dir string) (io.ReadWriteCloser, func(), error) {
	l, err := net.Listen("unix", filepath.Join(dir, "bare"))
	if err != nil {
		return nil, nil, err
	}
	go serveBare(l)
	conn, err := net.Dial("unix", l.Addr().String())
	return conn, func() { l.Close() }, err
}

// serveBare answers requests of one size with answers of another.
func serveBare(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			request, answer := make([]byte, requestSize), make([]byte, answerSize)
			for {
				if _, err := io.ReadFull(conn, request); err != nil {
					return
				}
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}()
	}
}
