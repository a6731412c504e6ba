package main

import (
	"io"
	"net"

	"github.com/hugelgupf/p9/fsimpl/templatefs"
	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"

	"github.com/aggrfs/aggrfs/test/peers/stage"
)

// p9Stage is the stage as github.com/hugelgupf/p9 serves it.
type p9Stage struct {
	small, large []byte
	many         p9.Dirents
}

func newP9Stage() *p9Stage {
	s := &p9Stage{small: stage.Content(stage.Small), large: stage.Content(stage.Large)}
	for i := range stage.Entries {
		s.many = append(s.many, p9.Dirent{
			QID: p9.QID{Type: p9.TypeRegular, Path: uint64(1000 + i)}, Offset: uint64(i + 1), Type: p9.TypeRegular, Name: stage.Entry(i),
		})
	}
	return s
}

// Attach implements p9.Attacher.
func (s *p9Stage) Attach() (p9.File, error) { return &p9File{stage: s, id: 1, dir: true}, nil }

type p9File struct {
	templatefs.NoopFile
	stage   *p9Stage
	id      uint64
	dir     bool
	content []byte
}

func (f *p9File) qid() p9.QID {
	if f.dir {
		return p9.QID{Type: p9.TypeDir, Path: f.id}
	}
	return p9.QID{Type: p9.TypeRegular, Path: f.id}
}

// Walk implements p9.File.
func (f *p9File) Walk(names []string) ([]p9.QID, p9.File, error) {
	if len(names) == 0 {
		again := *f
		return []p9.QID{f.qid()}, &again, nil
	}
	var next *p9File
	switch names[0] {
	case stage.Status:
		next = &p9File{stage: f.stage, id: 2, content: f.stage.small}
	case stage.Bulk:
		next = &p9File{stage: f.stage, id: 3, content: f.stage.large}
	case stage.Many:
		next = &p9File{stage: f.stage, id: 4, dir: true}
	}
	if next == nil || len(names) > 1 || !f.dir {
		return nil, nil, linux.ENOENT
	}
	return []p9.QID{next.qid()}, next, nil
}

// GetAttr implements p9.File.
func (f *p9File) GetAttr(req p9.AttrMask) (p9.QID, p9.AttrMask, p9.Attr, error) {
	mode := p9.ModeRegular | 0o555
	if f.dir {
		mode = p9.ModeDirectory | 0o555
	}
	return f.qid(), req, p9.Attr{Mode: mode, NLink: 1}, nil
}

// Open implements p9.File.
func (f *p9File) Open(p9.OpenFlags) (p9.QID, uint32, error) { return f.qid(), 0, nil }

// ReadAt implements p9.File.
func (f *p9File) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= int64(len(f.content)) {
		return 0, io.EOF
	}
	return copy(p, f.content[offset:]), nil
}

// Readdir implements p9.File. The count is in bytes, and the library cuts what does
// not fit.
func (f *p9File) Readdir(offset uint64, count uint32) (p9.Dirents, error) {
	all := f.stage.many[min(offset, uint64(len(f.stage.many))):]
	return all[:min(len(all), int(count)/(24+len(stage.Entry(0))))], nil
}

// serveP9 serves connections of a listener until it is closed.
func serveP9(l net.Listener) {
	server := p9.NewServer(newP9Stage())
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go server.Handle(conn, conn)
	}
}

// A p9Client does with that library's client what is compared.
type p9Client struct {
	client *p9.Client
	root   p9.File
	size   int // of a message
}

func newP9Client(conn net.Conn, size uint32) (*p9Client, error) {
	client, err := p9.NewClient(conn, p9.WithMessageSize(size))
	if err != nil {
		return nil, err
	}
	root, err := client.Attach("")
	if err != nil {
		return nil, err
	}
	return &p9Client{client, root, int(size)}, nil
}

func (c *p9Client) open(name string) (p9.File, error) {
	_, f, err := c.root.Walk([]string{name})
	if err != nil {
		return nil, err
	}
	_, _, err = f.Open(p9.ReadOnly)
	return f, err
}

// reader implements peer.
func (c *p9Client) reader(name string) (readAt, func() error, error) {
	f, err := c.open(name)
	if err != nil {
		return nil, nil, err
	}
	return func(p []byte, off int64) (int, error) {
		n, err := f.ReadAt(p, off)
		if err == io.EOF {
			err = nil
		}
		return n, err
	}, f.Close, nil
}

// file implements peer.
func (c *p9Client) file(name string, buf []byte) (int, error) {
	f, err := c.open(name)
	if err != nil {
		return 0, err
	}
	n, err := f.ReadAt(buf, 0)
	if err == io.EOF {
		err = nil
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return n, err
}

// list implements peer.
func (c *p9Client) list(name string) (int, error) {
	f, err := c.open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n := 0
	for offset := uint64(0); ; {
		entries, err := f.Readdir(offset, uint32(c.size-11))
		if err != nil || len(entries) == 0 {
			return n, err
		}
		n += len(entries)
		offset = entries[len(entries)-1].Offset
	}
}

// close implements peer.
func (c *p9Client) close() { c.client.Close() }
