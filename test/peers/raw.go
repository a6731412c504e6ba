package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Messages of 9P2000.L that load is made of.
const (
	tLopen   = 12
	tGetattr = 24
	tReaddir = 40
	tVersion = 100
	tAttach  = 104
	tFlush   = 108
	tWalk    = 110
	tRead    = 116
	tClunk   = 120
	rLerror  = 7
)

// A rawConn sends and takes frames. It is for load that no client makes: many
// requests on very many connections, without a goroutine for each request.
type rawConn struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	head [7]byte
}

// newRawConn negotiates, and attaches fid 0 to the root.
func newRawConn(socket string, buffer int) (*rawConn, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	c := &rawConn{conn: conn, in: bufio.NewReaderSize(conn, buffer)}
	c.add(tVersion, 0xffff, le32(64<<10), str("9P2000.L"))
	err = c.settle(tVersion)
	if err == nil {
		c.add(tAttach, 0, le32(0), le32(^uint32(0)), str(""), str(""), le32(0))
		err = c.settle(tAttach)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// settle sends what was added and takes its one answer.
func (c *rawConn) settle(want uint8) error {
	if err := c.flush(); err != nil {
		return err
	}
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	typ, _, err := c.take()
	if err == nil && typ != want+1 {
		err = fmt.Errorf("message %d was answered by %d", want, typ)
	}
	c.conn.SetReadDeadline(time.Time{})
	return err
}

// add adds a message to what flush sends.
func (c *rawConn) add(typ uint8, tag uint16, fields ...[]byte) {
	start := len(c.out)
	c.out = append(c.out, 0, 0, 0, 0, typ)
	c.out = binary.LittleEndian.AppendUint16(c.out, tag)
	for _, f := range fields {
		c.out = append(c.out, f...)
	}
	binary.LittleEndian.PutUint32(c.out[start:], uint32(len(c.out)-start))
}

func (c *rawConn) flush() error {
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// take takes one answer, and throws away what it says.
func (c *rawConn) take() (typ uint8, tag uint16, err error) {
	if _, err := io.ReadFull(c.in, c.head[:]); err != nil {
		return 0, 0, err
	}
	size := binary.LittleEndian.Uint32(c.head[:])
	_, err = c.in.Discard(int(size) - len(c.head))
	return c.head[4], binary.LittleEndian.Uint16(c.head[5:]), err
}

func le16(n uint16) []byte { return binary.LittleEndian.AppendUint16(nil, n) }
func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
func le64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
func str(s string) []byte  { return append(le16(uint16(len(s))), s...) }
