package ninep

import (
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The client's side of 9P2000. It is coded by hand, and so checks the library
// that the server uses, and is checked by it. Most messages are those of 9P2000.L;
// a call has the type that it has there.

// plainType is the type on the wire of a call of that type.
func plainType(typ uint8) uint8 {
	switch typ {
	case tLopen:
		return tOpen
	case tGetattr:
		return tStat
	case tReaddir:
		return tRead
	}
	return typ
}

func appendPlainCall(b []byte, k *call) []byte {
	start := len(b)
	switch k.typ {
	case tLopen:
		b = putU32(begin(b, tOpen, k.tag), k.fid)
		b = append(b, uint8(k.flags&flagAccess))
	case tGetattr:
		b = putU32(begin(b, tStat, k.tag), k.fid)
	case tReaddir:
		b = putU32(putU64(putU32(begin(b, tRead, k.tag), k.fid), k.offset), k.count)
	case tAttach:
		b = putU32(putU32(begin(b, tAttach, k.tag), k.fid), noFID)
		b = putStr(putStr(b, k.uname), k.aname)
	default:
		return appendCall(b, k)
	}
	return sizeFrame(b, start)
}

// decodePlain takes the answer from its frame, which is of the right type. owners
// is ClientConfig.Owners.
func (k *call) decodePlain(frame []byte, owners func(user, group string) (uid, gid uint32)) error {
	c := cursor{b: frame[headerSize:]}
	switch k.typ {
	case tGetattr:
		whole := cursor{b: c.take(int(c.u16()))}
		var s stat
		s.decode(&whole)
		if c.end() != nil || whole.end() != nil {
			return errMalformed
		}
		k.walked[0] = s.qid
		k.qids = k.walked[:1]
		k.attr = s.attr(owners)
		return nil
	case tReaddir:
		data := c.take(int(c.u32()))
		if len(data) > int(k.count) || c.end() != nil {
			return errMalformed
		}
		k.n = uint32(len(data))
		return k.decodeStats(data)
	}
	if err := k.decode(frame); err != nil {
		return err
	}
	for i := range k.qids {
		k.qids[i].path = idOf(k.qids[i].path)
	}
	return nil
}

// decodeStats takes the whole stats of a read of a directory.
func (k *call) decodeStats(data []byte) error {
	c := cursor{b: data}
	for len(c.b) > 0 {
		var s stat
		if s.decode(&c); c.bad {
			return errMalformed
		}
		if s.name == "." || s.name == ".." {
			continue
		}
		if !vfs.ValidName(s.name) {
			return errMalformed
		}
		k.entries = append(k.entries, vfs.DirEntry{Name: s.name, ID: s.qid.path, Type: s.qid.nodeType()})
	}
	return nil
}

// A stat is what a server of 9P2000 says of a file (stat(5)).
type stat struct {
	qid          qid
	mode         uint32
	atime, mtime uint32
	length       uint64
	name         string
	user, group  string
}

func (s *stat) decode(from *cursor) {
	c := cursor{b: from.take(int(from.u16()))}
	c.take(2 + 4) // type and dev, which are the server's own
	s.qid = c.qid()
	s.qid.path = idOf(s.qid.path)
	s.mode, s.atime, s.mtime = c.u32(), c.u32(), c.u32()
	s.length = c.u64()
	s.name, s.user, s.group = c.str(maxString), c.str(maxString), c.str(maxString)
	c.str(maxString) // who changed it last
	if c.end() != nil {
		from.bad = true
	}
}

func (s *stat) attr(owners func(user, group string) (uid, gid uint32)) vfs.Attr {
	a := vfs.Attr{ID: s.qid.path, Mode: s.mode&0o777 | uint32(s.qid.nodeType()), Nlink: 1, Size: s.length}
	if s.atime != 0 {
		a.Atime = time.Unix(int64(s.atime), 0)
	}
	if s.mtime != 0 {
		a.Mtime = time.Unix(int64(s.mtime), 0)
		a.Ctime = a.Mtime
	}
	if owners == nil {
		owners = byNumber
	}
	a.UID, a.GID = owners(s.user, s.group)
	return a
}

// byNumber takes owners who are named by numbers; others are nobody.
func byNumber(user, group string) (uid, gid uint32) {
	uid, gid = vfs.OverflowID, vfs.OverflowID
	if n, ok := parseID(user); ok {
		uid = n
	}
	if n, ok := parseID(group); ok {
		gid = n
	}
	return uid, gid
}

// idOf is the ID of a node whose qid has that path. Servers like to number their
// root 0, which is no ID.
func idOf(path uint64) uint64 {
	if path == 0 {
		return 1<<64 - 1
	}
	return path
}
