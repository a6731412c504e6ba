package ninep

// Messages. Those of 9P2000, from 100 on, are in intro(5); those of 9P2000.L, below,
// are in the protocol document of diod and the kernel's net/9p. An answer's type
// is its request's plus one.
const (
	tLerror      = 6 // only Rlerror exists
	tStatfs      = 8
	tLopen       = 12
	tLcreate     = 14
	tSymlink     = 16
	tMknod       = 18
	tRename      = 20
	tReadlink    = 22
	tGetattr     = 24
	tSetattr     = 26
	tXattrwalk   = 30
	tXattrcreate = 32
	tReaddir     = 40
	tFsync       = 50
	tLock        = 52
	tGetlock     = 54
	tLink        = 70
	tMkdir       = 72
	tRenameat    = 74
	tUnlinkat    = 76
	tVersion     = 100
	tAuth        = 102
	tAttach      = 104
	tError       = 106 // only Rerror exists
	tFlush       = 108
	tWalk        = 110
	tOpen        = 112 // of 9P2000, as are the next and the last two
	tCreate      = 114
	tRead        = 116
	tWrite       = 118
	tClunk       = 120
	tRemove      = 122
	tStat        = 124
	tWstat       = 126
)

const (
	noTag = 1<<16 - 1 // the tag of Tversion
	// maxTags is how many tags there are.
	maxTags = 1 << 16
	noFID   = 1<<32 - 1 // "no fid", for afid
)

// dotL is 9P2000.L.
type dotL struct{}

func (dotL) name() string { return "9P2000.L" }
func (dotL) plan9() bool  { return false }

func (dotL) overhead(o op) uint32 {
	if o == opReadlink {
		return headerSize + 2
	}
	return headerSize + 4 // Rread, Rreaddir
}

func (dotL) decode(frame []byte, r *request) error {
	typ := frame[4]
	c := cursor{b: frame[5:]}
	r.tag = c.u16()
	switch typ {
	case tVersion:
		return decodeVersion(frame, r)
	case tRead, tReaddir:
		r.op = opRead
		if typ == tReaddir {
			r.op = opReaddir
		}
		r.fid, r.offset, r.count = c.u32(), c.u64(), c.u32()
	case tWalk:
		return decodeWalk(&c, r)
	case tClunk:
		r.op, r.fid = opClunk, c.u32()
	case tLopen:
		r.op, r.fid, r.flags = opOpen, c.u32(), c.u32()
	case tGetattr:
		r.op, r.fid = opGetattr, c.u32()
		c.u64() // the fields wanted: all are answered
	case tFlush:
		r.op, r.oldtag = opFlush, c.u16()
	case tReadlink:
		r.op, r.fid = opReadlink, c.u32()
	case tWrite:
		r.op, r.fid, r.offset = opWrite, c.u32(), c.u64()
		r.data = c.take(int(c.u32()))
	case tAttach:
		r.op, r.fid, r.afid = opAttach, c.u32(), c.u32()
		r.uname, r.aname, r.nuname = c.str(maxUname), c.str(maxString), c.u32()
	case tStatfs:
		r.op, r.fid = opStatfs, c.u32()
	case tRemove:
		r.op, r.fid = opRemove, c.u32()
	default:
		return decodeRare(typ, &c, r)
	}
	return c.end()
}

func decodeWalk(c *cursor, r *request) error {
	r.op, r.fid, r.newfid = opWalk, c.u32(), c.u32()
	n := int(c.u16())
	if n > MaxWalk {
		return errMalformed
	}
	r.names = r.walked[:n]
	for i := range r.names {
		r.names[i] = c.str(maxString)
	}
	return c.end()
}

// decodeRare decodes what a reader of files hardly ever sends. Of what is
// refused whatever it says, no more than the header is looked at.
func decodeRare(typ uint8, c *cursor, r *request) error {
	switch typ {
	case tAuth:
		return decodeAuth(c, r)
	case tXattrwalk:
		r.op, r.fid = opXattr, c.u32()
		c.u32() // the new fid, which is never made
		c.str(maxString)
	case tFsync:
		r.op, r.fid = opFsync, c.u32()
		if len(c.b) > 0 {
			c.u32() // datasync, which older clients do not send
		}
	case tLock:
		r.op, r.fid = opLock, c.u32()
		c.take(1 + 4 + 8 + 8 + 4) // type, flags, start, length, process
		c.str(maxString)
	case tGetlock:
		r.op, r.fid = opGetlock, c.u32()
		r.lock = c.b
		c.take(1 + 8 + 8 + 4) // type, start, length, process
		c.str(maxString)
	case tLcreate, tSymlink, tMknod, tRename, tSetattr, tXattrcreate, tLink, tMkdir, tRenameat, tUnlinkat:
		r.op = opChange
		return nil
	default:
		r.op = opUnknown
		if typ%2 == 1 {
			r.op = opNever
		}
		return nil
	}
	if r.op == opGetlock && !c.bad {
		r.lock = r.lock[:len(r.lock)-len(c.b)]
	}
	return c.end()
}
