package ninep

import (
	"encoding/binary"
	"fmt"
	"math"

	p9p "github.com/docker/go-p9p"
)

// plain is 9P2000, as in section 5 of the Plan 9 manual. Its messages and their
// codec are go-p9p's, with two exceptions. Reads, writes and clunks are coded
// here: the library copies data byte by byte, and believes a count before it has
// seen the bytes. And its decoder looks at no more than it needs, and panics on
// some input, so it is called by decodeMessage only.
//
// A link is a file whose mode has DMSYMLINK and whose content is the link's text.
type plain struct {
	owners func(uid, gid uint32) (user, group string) // nil: numbers
}

func (plain) name() string { return p9p.DefaultVersion }
func (plain) plan9() bool  { return true }

// overhead: nothing but reads carries data.
func (plain) overhead(op) uint32 { return headerSize + 4 }

func (plain) decode(frame []byte, r *request) error {
	typ := frame[4]
	c := cursor{b: frame[5:]}
	r.tag = c.u16()
	switch typ {
	case tVersion:
		return decodeVersion(frame, r)
	case tRead:
		r.op = opRead
		r.fid, r.offset, r.count = c.u32(), c.u64(), c.u32()
	case tClunk:
		r.op, r.fid = opClunk, c.u32()
	case tWrite:
		r.op, r.fid, r.offset = opWrite, c.u32(), c.u64()
		r.data = c.take(int(c.u32()))
	case tAuth:
		return decodeAuth(&c, r)
	case tCreate: // refused whatever it says
		r.op = opChange
		return nil
	case tWstat:
		return decodeWstat(&c, r)
	case tAttach, tFlush, tWalk, tOpen, tRemove, tStat:
		m, err := decodeMessage(frame)
		if err != nil {
			return err
		}
		return r.from(m)
	default:
		r.op = opUnknown
		if typ%2 == 1 {
			r.op = opNever
		}
		return nil
	}
	return c.end()
}

// from fills r from a message of the library's.
func (r *request) from(m p9p.Message) error {
	switch m := m.(type) {
	case p9p.MessageTattach:
		r.op, r.fid, r.afid = opAttach, uint32(m.Fid), uint32(m.Afid)
		r.uname, r.aname, r.nuname = m.Uname, m.Aname, math.MaxUint32
		return bounded(maxString, m.Aname)
	case p9p.MessageTflush:
		r.op, r.oldtag = opFlush, uint16(m.Oldtag)
	case p9p.MessageTwalk:
		r.op, r.fid, r.newfid = opWalk, uint32(m.Fid), uint32(m.Newfid)
		r.names = append(r.walked[:0], m.Wnames...)
		return bounded(maxString, m.Wnames...)
	case p9p.MessageTopen:
		r.op, r.fid = opOpen, uint32(m.Fid)
		r.flags = openFlags(m.Mode)
		if m.Mode&p9p.ORCLOSE != 0 { // to be removed when it is closed
			r.op = opChange
		}
	case p9p.MessageTremove:
		r.op, r.fid = opRemove, uint32(m.Fid)
	case p9p.MessageTstat:
		r.op, r.fid = opGetattr, uint32(m.Fid)
	}
	return nil
}

// bounded refuses texts longer than max bytes.
func bounded(max int, texts ...string) error {
	for _, t := range texts {
		if len(t) > max {
			return errMalformed
		}
	}
	return nil
}

// openFlags are the flags of open(2) for a mode of open(5). To execute is to
// read.
func openFlags(mode p9p.Flag) (flags uint32) {
	if access := mode & 3; access != p9p.OEXEC {
		flags = uint32(access)
	}
	if mode&p9p.OTRUNC != 0 {
		flags |= flagTruncate
	}
	return flags
}

// decodeWstat takes one that changes nothing for the request to put to disk what
// was written, which stat(5) makes of it. The library forgets the count in front
// of the stat.
func decodeWstat(c *cursor, r *request) error {
	r.op, r.fid = opChange, c.u32()
	stat := c.take(int(c.u16()))
	if err := c.end(); err != nil {
		return err
	}
	var d p9p.Dir
	if err := decodeDir(stat, &d); err != nil {
		return err
	}
	const same = math.MaxUint32
	if d.Mode == same && uint32(d.AccessTime.Unix()) == same && uint32(d.ModTime.Unix()) == same && d.Length == math.MaxUint64 &&
		d.Name == "" && d.UID == "" && d.GID == "" {
		r.op = opFsync
	}
	return nil
}

// decodeMessage is the library's decoder, for a frame whose length is right. All
// of the frame must be the message.
func decodeMessage(frame []byte) (m p9p.Message, err error) {
	defer rescueCodec(&err)
	if frame[4] == tWalk && len(frame) >= headerSize+10 && binary.LittleEndian.Uint16(frame[headerSize+8:]) > MaxWalk {
		return nil, errMalformed // before room is made for them
	}
	codec := p9p.NewCodec()
	var call p9p.Fcall
	if err := codec.Unmarshal(frame[4:], &call); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if codec.Size(&call) != len(frame)-4 {
		return nil, errMalformed
	}
	return call.Message, nil
}

// decodeDir decodes a stat, which must be all of b.
func decodeDir(b []byte, d *p9p.Dir) (err error) {
	defer rescueCodec(&err)
	codec := p9p.NewCodec()
	if err := codec.Unmarshal(b, d); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	if codec.Size(d) != len(b) {
		return errMalformed
	}
	return nil
}

// rescueCodec, deferred, makes a panic of the library's codec an error.
func rescueCodec(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", errMalformed, p)
	}
}
