package ninep

import (
	"encoding/binary"
	"errors"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// errMalformed is a message whose fields do not fill its frame exactly.
var errMalformed = errors.New("malformed message")

// A cursor takes fields off the front of a message: integers are little-endian
// and a string has its length in two bytes before it (intro(5)). Beyond the end
// it gives zeros and remembers it.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.b, c.bad = nil, true
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) u8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// str takes a string of at most max bytes.
func (c *cursor) str(max int) string {
	n := int(c.u16())
	if n > max {
		c.b, c.bad = nil, true
		return ""
	}
	return string(c.take(n))
}

func (c *cursor) qid() qid {
	return qid{typ: c.u8(), version: c.u32(), path: c.u64()}
}

// end reports whether all fields were there and nothing is left.
func (c *cursor) end() error {
	if c.bad || len(c.b) > 0 {
		return errMalformed
	}
	return nil
}

func putU16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }
func putU32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }
func putU64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

func putStr(b []byte, s string) []byte {
	return append(putU16(b, uint16(len(s))), s...)
}

func putQID(b []byte, q qid) []byte {
	return putU64(putU32(append(b, q.typ), q.version), q.path)
}

// begin starts a frame; sizeFrame fills in its length when it is complete.
func begin(b []byte, typ uint8, tag uint16) []byte {
	return putU16(append(b, 0, 0, 0, 0, typ), tag)
}

// sizeFrame sets the length of the frame that starts at start and ends b.
func sizeFrame(b []byte, start int) []byte {
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// A qid is the server's name for an object (intro(5)).
type qid struct {
	typ     uint8
	version uint32 // moves when the content does; 0 is not known
	path    uint64 // the node's ID
}

const qidSize = 13

// The type bits of a qid.
const (
	qidDir  = 0x80
	qidLink = 0x02
	qidFile = 0x00
)

func qidOf(n vfs.Node) qid { return qid{typ: qidType(n.Type()), path: n.ID()} }

func qidType(t vfs.Type) uint8 {
	switch t {
	case vfs.TypeDir:
		return qidDir
	case vfs.TypeLink:
		return qidLink
	}
	return qidFile
}

// nodeType is the reverse of qidType.
func (q qid) nodeType() vfs.Type {
	switch {
	case q.typ&qidDir != 0:
		return vfs.TypeDir
	case q.typ&qidLink != 0:
		return vfs.TypeLink
	}
	return vfs.TypeFile
}
