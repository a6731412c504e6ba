package ninep

import "github.com/aggrfs/aggrfs/pkg/vfs"

// The server's own vocabulary, between the dialects and the tree. A dialect
// turns a frame into a request and a reply into a frame; all that lies between
// knows no message type.

// An op is what a request asks for.
type op uint8

const (
	opUnknown  op = iota // a message that is none of this dialect's
	opNever              // a message that only servers send
	opVersion            // msize, version
	opAuth               // fid
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
	name   string // of what attr is of; the root's is "/"
	data   []byte // what was read, or the encoded entries
	text   string
	count  uint32
}
