package ninep

import (
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// What Rgetattr says it has: mode, nlink, uid, gid, rdev, atime, mtime, ctime,
// ino, size and blocks (P9_STATS_BASIC).
const getattrBasic = 0x7ff

// What Rstatfs says: the magic number of 9P file systems, and a block size.
const (
	statfsMagic = 0x01021997
	blockSize   = 4096
)

const (
	lockSuccess = 0 // Rlock's status
	lockNone    = 2 // F_UNLCK: Tgetlock finds no lock in the way
)

func (dotL) appendError(b []byte, tag uint16, err error) []byte {
	start := len(b)
	b = begin(b, tLerror+1, tag)
	b = putU32(b, uint32(vfs.Errno(err)))
	return sizeFrame(b, start)
}

// appendEntry: qid[13] offset[8] type[1] name[s]; the type is d_type of
// readdir(3), which is the mode's type bits shifted.
func (dotL) appendEntry(b []byte, e *vfs.DirEntry, _ *vfs.Attr) []byte {
	b = putQID(b, qid{typ: qidType(e.Type), path: e.ID})
	b = putU64(b, e.Next)
	b = append(b, uint8(e.Type>>12))
	return putStr(b, e.Name)
}

func (dotL) appendReply(b []byte, r *request, p *reply) []byte {
	start := len(b)
	switch r.op {
	case opRead:
		b = putData(begin(b, tRead+1, r.tag), p.data)
	case opReaddir:
		b = putData(begin(b, tReaddir+1, r.tag), p.data)
	case opWalk:
		b = putU16(begin(b, tWalk+1, r.tag), uint16(len(p.qids)))
		for _, q := range p.qids {
			b = putQID(b, q)
		}
	case opClunk:
		b = begin(b, tClunk+1, r.tag)
	case opOpen:
		b = putQID(begin(b, tLopen+1, r.tag), p.qids[0])
		b = putU32(b, 0) // iounit: as much as a frame takes
	case opGetattr:
		b = putAttr(begin(b, tGetattr+1, r.tag), p.qids[0], &p.attr)
	case opFlush:
		b = begin(b, tFlush+1, r.tag)
	case opReadlink:
		b = putStr(begin(b, tReadlink+1, r.tag), p.text)
	case opWrite:
		b = putU32(begin(b, tWrite+1, r.tag), p.count)
	case opAttach:
		b = putQID(begin(b, tAttach+1, r.tag), p.qids[0])
	case opAuth:
		b = putQID(begin(b, tAuth+1, r.tag), p.qids[0])
	case opStatfs:
		b = putStatfs(begin(b, tStatfs+1, r.tag))
	case opFsync:
		b = begin(b, tFsync+1, r.tag)
	case opLock:
		b = append(begin(b, tLock+1, r.tag), lockSuccess)
	case opGetlock:
		b = append(begin(b, tGetlock+1, r.tag), lockNone)
		b = append(b, r.lock[1:]...)
	}
	return sizeFrame(b, start)
}

func putData(b, data []byte) []byte {
	return append(putU32(b, uint32(len(data))), data...)
}

func putAttr(b []byte, q qid, a *vfs.Attr) []byte {
	b = putU64(b, getattrBasic)
	b = putQID(b, q)
	b = putU32(b, a.Mode)
	b = putU32(b, a.UID)
	b = putU32(b, a.GID)
	b = putU64(b, uint64(a.Nlink))
	b = putU64(b, 0) // rdev
	b = putU64(b, a.Size)
	b = putU64(b, blockSize)
	b = putU64(b, (a.Size+511)/512) // blocks, of 512 bytes
	b = putTime(b, a.Atime)
	b = putTime(b, a.Mtime)
	b = putTime(b, a.Ctime)
	b = putTime(b, time.Time{}) // birth
	b = putU64(b, 0)            // generation
	return putU64(b, 0)         // data version
}

// putTime: seconds and nanoseconds since the epoch; the zero time is 0.
func putTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return putU64(putU64(b, 0), 0)
	}
	return putU64(putU64(b, uint64(t.Unix())), uint64(t.Nanosecond()))
}

func putStatfs(b []byte) []byte {
	b = putU32(b, statfsMagic)
	b = putU32(b, blockSize)
	for range 6 { // blocks, free, available, files, free files, fsid
		b = putU64(b, 0)
	}
	return putU32(b, vfs.MaxName)
}
