package ninep

import (
	"errors"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The server's own vocabulary, between the dialects and the tree. A dialect
// turns a frame into a request and a reply into a frame; all that lies between
// knows no message type.

// An op is what a request asks for.
type op uint8

const (
	opUnknown  op = iota // a message that is none of this dialect's
	opNever              // a message that only servers send
	opVersion            // msize, version
	opAuth               //
	opAttach             // fid, uname, nuname, aname
	opFlush              // oldtag
	opWalk               // fid, newfid, names
	opOpen               // fid, flags
	opRead               // fid, offset, count
	opReaddir            // fid, offset, count
	opWrite              // fid, offset, data
	opClunk              // fid
	opRemove             // fid
	opGetattr            // fid
	opReadlink           // fid
	opStatfs             // fid
	opFsync              // fid
	opLock               // fid
	opGetlock            // fid, lock
	opXattr              // fid
	opChange             // anything that would change the tree
)

// A request is one decoded message. Which fields count depends on op.
type request struct {
	op      op
	tag     uint16
	oldtag  uint16
	fid     uint32
	newfid  uint32
	afid    uint32
	flags   uint32 // as open(2)
	count   uint32
	nuname  uint32
	msize   uint32
	offset  uint64
	lock    []byte // what Tgetlock says of a lock; part of the frame
	data    []byte // what to write; part of the frame
	uname   string
	aname   string
	version string
	names   []string // in walked
	walked  [MaxWalk]string
}

// A reply is what a request is answered with if it did not fail. Which fields
// count depends on the request's op.
type reply struct {
	qids   []qid // in walked
	walked [MaxWalk]qid
	attr   vfs.Attr
	data   []byte // what was read, or the encoded entries
	text   string
	count  uint32
}

// A dialect is one version of the protocol. It holds no state.
type dialect interface {
	// name is the version as it stands in Tversion.
	name() string
	// decode fills r from a frame whose length has been checked. An error ends
	// the connection. r keeps parts of the frame.
	decode(frame []byte, r *request) error
	// appendReply appends the frame that answers r.
	appendReply(b []byte, r *request, p *reply) []byte
	// appendError appends the frame that refuses the request of that tag.
	appendError(b []byte, tag uint16, err error) []byte
	// appendEntry appends one entry of a directory as reads of it return it.
	appendEntry(b []byte, e *vfs.DirEntry) []byte
	// overhead is how many bytes of the answer to o are not what it carries: the
	// data of a read, the text of a link.
	overhead(o op) uint32
}

// dialectOf is the dialect of that version, or nil.
func dialectOf(version string) dialect {
	if version == (dotL{}).name() {
		return dotL{}
	}
	return nil
}

// errNotVersion is a client that does not begin as it should.
var errNotVersion = errors.New("the first message is not Tversion")

// decodeVersion decodes a Tversion, which is the same in all dialects.
func decodeVersion(frame []byte, r *request) error {
	if frame[4] != tVersion {
		return errNotVersion
	}
	c := cursor{b: frame[5:]}
	r.op = opVersion
	r.tag = c.u16()
	r.msize = c.u32()
	r.version = c.str(maxString)
	return c.end()
}

// appendVersion appends an Rversion, which is the same in all dialects.
func appendVersion(b []byte, tag uint16, msize uint32, version string) []byte {
	start := len(b)
	b = begin(b, tVersion+1, tag)
	b = putU32(b, msize)
	b = putStr(b, version)
	return sizeFrame(b, start)
}
