package ninep

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// benchTree has one file of the size of a status.
type benchTree struct{ content *vfs.Bytes }

type benchDir struct{ t *benchTree }
type benchFile struct{ t *benchTree }

func (t *benchTree) Attach(context.Context, vfs.Identity, string) (vfs.Node, error) {
	return &benchDir{t}, nil
}
func (d *benchDir) ID() uint64     { return 1 }
func (d *benchDir) Type() vfs.Type { return vfs.TypeDir }
func (d *benchDir) Attr(context.Context) (vfs.Attr, error) {
	return vfs.Attr{ID: 1, Mode: uint32(vfs.TypeDir) | 0o555}, nil
}
func (d *benchDir) Walk(context.Context, string) (vfs.Node, error) { return &benchFile{d.t}, nil }
func (d *benchDir) List(context.Context) (vfs.DirHandle, error)    { return vfs.NewListing(nil), nil }
func (f *benchFile) ID() uint64                                    { return 2 }
func (f *benchFile) Type() vfs.Type                                { return vfs.TypeFile }
func (f *benchFile) Attr(context.Context) (vfs.Attr, error) {
	return vfs.Attr{ID: 2, Mode: uint32(vfs.TypeFile)}, nil
}
func (f *benchFile) Open(context.Context) (vfs.Handle, error) { return f.t.content, nil }

func bench(b *testing.B) (*Client, vfs.Dir) {
	near, far, err := socketPair()
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s := NewServer(ServerConfig{Tree: &benchTree{vfs.NewBytes(make([]byte, 1300), 0)}, Identify: believe, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(ctx, far)
	}()
	c, err := NewClient(ctx, near, ClientConfig{Log: log})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.Close()
		cancel()
		<-done
	})
	n, err := c.Attach(ctx, vfs.Root, "")
	if err != nil {
		b.Fatal(err)
	}
	return c, n.(vfs.Dir)
}

func socketPair() (near, far net.Conn, err error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix"}) // a name the kernel chooses
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if near, err = net.Dial("unix", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	far, err = l.Accept()
	return near, far, err
}

// parallel runs f in n goroutines, b.N times in all.
func parallel(b *testing.B, n int, f func() error) {
	b.ReportAllocs()
	left := atomic.Int64{}
	left.Store(int64(b.N))
	errs := make(chan error, n)
	b.ResetTimer()
	for range n {
		go func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			b.Error(err)
		}
	}
}

func benchRead(b *testing.B, n int) {
	_, dir := bench(b)
	ctx := context.Background()
	f, _, err := dir.(*dirNode).openKeep(ctx, []string{"f"}, flagRead)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buffers := make(chan []byte, n)
	for range n {
		buffers <- make([]byte, 1300)
	}
	parallel(b, n, func() error {
		buf := <-buffers
		_, err := f.ReadAt(ctx, buf, 0)
		buffers <- buf
		return err
	})
}

func BenchmarkRead1(b *testing.B)  { benchRead(b, 1) }
func BenchmarkRead32(b *testing.B) { benchRead(b, 32) }

func benchFileN(b *testing.B, n int) {
	_, dir := bench(b)
	ctx := context.Background()
	parallel(b, n, func() error {
		h, _, err := vfs.OpenPath(ctx, dir, "f")
		if err != nil {
			return err
		}
		return h.Close()
	})
}

func BenchmarkFile1(b *testing.B)  { benchFileN(b, 1) }
func BenchmarkFile32(b *testing.B) { benchFileN(b, 32) }

// BenchmarkServerRead is a Tread as the server alone sees it.
func BenchmarkServerRead(b *testing.B) {
	near, far, err := socketPair()
	if err != nil {
		b.Fatal(err)
	}
	s := NewServer(ServerConfig{Tree: vfstest.NewTree(), Identify: believe, Log: slog.New(slog.DiscardHandler)})
	c := s.newConn(far, Peer{}, &arrival{}, s.payerOf(Peer{}))
	c.dialect, c.msize, c.in.max = dotL{}, 8192, 8192
	content := make([]byte, 1300)
	c.fids[1] = &fid{num: 1, at: &place{}, open: true, held: true, content: content}
	request := appendCall(nil, &call{typ: tRead, tag: 1, fid: 1, count: 8000})
	answer := make([]byte, 2000)
	b.ReportAllocs()
	for b.Loop() {
		near.Write(request)
		frame, err := c.in.next()
		if err == nil {
			err = c.handle(frame)
		}
		c.out.flush()
		if err != nil {
			b.Fatal(err)
		}
		if n, err := near.Read(answer); err != nil || n != 1311 {
			b.Fatal(n, err)
		}
	}
	near.Close()
	far.Close()
}
