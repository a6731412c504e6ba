package ninep

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The client's side of 9P2000.L: messages out, answers in.

// What a frame has beside the data that it carries. A Twrite has 23 bytes; an
// Rread or Rreaddir 11, but some servers (diod) keep as much room there as Linux
// does (P9_IOHDRSZ) and refuse to be asked for more.
const (
	readOverhead  = 24
	writeOverhead = headerSize + 4 + 8 + 4
)

func appendCall(b []byte, k *call) []byte {
	start := len(b)
	b = begin(b, k.typ, k.tag)
	switch k.typ {
	case tWalk:
		b = putU16(putU32(putU32(b, k.fid), k.newfid), uint16(len(k.names)))
		for _, name := range k.names {
			b = putStr(b, name)
		}
	case tLopen:
		b = putU32(putU32(b, k.fid), k.flags)
	case tRead, tReaddir:
		b = putU32(putU64(putU32(b, k.fid), k.offset), k.count)
	case tGetattr:
		b = putU64(putU32(b, k.fid), getattrBasic)
	case tWrite:
		b = putData(putU64(putU32(b, k.fid), k.offset), k.data)
	case tAttach:
		b = putU32(putU32(b, k.fid), noFID)
		b = putU32(putStr(putStr(b, k.uname), k.aname), k.newfid)
	case tFlush:
		b = putU16(b, k.old.tag)
	default: // tClunk, tReadlink
		b = putU32(b, k.fid)
	}
	return sizeFrame(b, start)
}

// decode takes the answer from its frame, which is of the right type.
func (k *call) decode(frame []byte) error {
	c := cursor{b: frame[headerSize:]}
	switch k.typ {
	case tWalk:
		n := int(c.u16())
		if n > len(k.names) {
			return errMalformed
		}
		k.qids = k.walked[:n]
		for i := range k.qids {
			k.qids[i] = c.qid()
		}
	case tAttach:
		k.walked[0] = c.qid()
		k.qids = k.walked[:1]
	case tLopen:
		k.walked[0] = c.qid()
		k.qids = k.walked[:1]
		c.u32() // iounit
	case tRead:
		data := c.take(int(c.u32()))
		if len(data) > int(k.count) {
			return errMalformed
		}
		k.deliver(data)
	case tReaddir:
		data := c.take(int(c.u32()))
		if len(data) > int(k.count) {
			return errMalformed
		}
		k.n = uint32(len(data))
		if err := k.decodeEntries(data); err != nil {
			return err
		}
	case tGetattr:
		c.u64() // which fields are valid
		k.walked[0] = c.qid()
		k.qids = k.walked[:1]
		k.attr = c.attr()
		k.attr.ID = k.walked[0].path
		// The qid's word counts: types that no tree has become files.
		k.attr.Mode = k.attr.Mode&^vfs.TypeMask | uint32(k.walked[0].nodeType())
	case tWrite:
		if k.n = c.u32(); k.n > uint32(len(k.data)) {
			return errMalformed
		}
	case tReadlink:
		k.text = c.str(maxString)
	}
	return c.end()
}

// deliver puts what was read where the caller wants it, if it is still there.
func (k *call) deliver(data []byte) {
	k.n = uint32(len(data))
	if k.into == nil {
		k.result = append(make([]byte, 0, len(data)), data...)
		return
	}
	k.ex.mu.Lock()
	if !k.ex.gone {
		copy(k.into, data)
	}
	k.ex.mu.Unlock()
}

// entryHead is what an entry has before its name: qid[13] offset[8] type[1].
const entryHead = qidSize + 8 + 1

// decodeEntries takes whole entries. "." and "..", which some servers list, are
// left out. All names are parts of one string.
func (k *call) decodeEntries(data []byte) error {
	count, size, ok := measureEntries(data)
	if !ok {
		return errMalformed
	}
	if count == 0 {
		return nil
	}
	var text strings.Builder
	text.Grow(size)
	for b := data; len(b) > 0; {
		end := entryHead + 2 + int(binary.LittleEndian.Uint16(b[entryHead:]))
		text.Write(b[entryHead+2 : end])
		b = b[end:]
	}
	names := text.String()
	k.entries = make([]vfs.DirEntry, 0, count)
	for b := data; len(b) > 0; {
		n := int(binary.LittleEndian.Uint16(b[entryHead:]))
		q := qid{typ: b[0], path: binary.LittleEndian.Uint64(b[5:])}
		// The d_type that follows says what the qid does.
		e := vfs.DirEntry{Name: names[:n], ID: q.path, Type: q.nodeType(), Next: binary.LittleEndian.Uint64(b[qidSize:])}
		b, names = b[entryHead+2+n:], names[n:]
		if e.Next == 0 {
			return errMalformed
		}
		k.resume = e.Next
		if e.Name == "." || e.Name == ".." {
			continue
		}
		if !vfs.ValidName(e.Name) || e.ID == 0 {
			return errMalformed
		}
		k.entries = append(k.entries, e)
	}
	return nil
}

// measureEntries is how many entries there are, and how many bytes their names
// have, if all of them are whole.
func measureEntries(data []byte) (count, names int, ok bool) {
	for len(data) > 0 {
		if len(data) < entryHead+2 {
			return 0, 0, false
		}
		n := int(binary.LittleEndian.Uint16(data[entryHead:]))
		if len(data) < entryHead+2+n {
			return 0, 0, false
		}
		data = data[entryHead+2+n:]
		names += n
		count++
	}
	return count, names, true
}

func (c *cursor) attr() vfs.Attr {
	a := vfs.Attr{Mode: c.u32(), UID: c.u32(), GID: c.u32(), Nlink: uint32(c.u64())}
	c.u64() // rdev
	a.Size = c.u64()
	c.take(8 + 8) // block size, blocks
	a.Atime, a.Mtime, a.Ctime = c.time(), c.time(), c.time()
	c.take(16 + 8 + 8) // birth, generation, data version
	return a
}

// time is the reverse of putTime.
func (c *cursor) time() time.Time {
	sec, nsec := c.u64(), c.u64()
	if sec == 0 && nsec == 0 {
		return time.Time{}
	}
	return time.Unix(int64(sec), int64(nsec%1e9))
}
