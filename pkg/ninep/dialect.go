package ninep

import (
	"errors"
	"strconv"
	"strings"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A dialect is one version of the protocol. It holds no state of a connection.
type dialect interface {
	// name is the version as it stands in Tversion.
	name() string
	// plan9 reports whether the dialect knows no more than Plan 9 does: a link is
	// a file whose content is its text, and a directory is read by Tread, which
	// gives what Tstat says of each entry.
	plan9() bool
	// decode fills r from a frame whose length has been checked. An error ends
	// the connection. r keeps parts of the frame.
	decode(frame []byte, r *request) error
	// appendReply appends the frame that answers r.
	appendReply(b []byte, r *request, p *reply) []byte
	// appendError appends the frame that refuses the request of that tag.
	appendError(b []byte, tag uint16, err error) []byte
	// appendEntry appends one entry of a directory as reads of it return it. In
	// Plan 9's dialect a is what Attr says of it, else nil.
	appendEntry(b []byte, e *vfs.DirEntry, a *vfs.Attr) []byte
	// overhead is how many bytes of the answer to o are not what it carries: the
	// data of a read, the text of a link.
	overhead(o op) uint32
}

// dialectOf is what a client is answered that says it speaks version: that, or
// what the first parts of it name, or an earlier version; nil is none that is
// spoken here (version(5)). So 9P2000.u and 9P2000.other are 9P2000, and so is a
// later 9P2010.
func (s *Server) dialectOf(version string) dialect {
	for known := version; ; {
		switch known {
		case dotL{}.name():
			return dotL{}
		case plain{}.name():
			return plain{owners: s.cfg.Owners}
		}
		dot := strings.LastIndexByte(known, '.')
		if dot < 0 {
			break
		}
		known = known[:dot]
	}
	base, _, _ := strings.Cut(version, ".")
	digits, ok := strings.CutPrefix(base, "9P")
	if n, err := strconv.ParseUint(digits, 10, 32); !ok || err != nil || len(digits) != 4 || n < 2000 {
		return nil
	}
	return plain{owners: s.cfg.Owners}
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
