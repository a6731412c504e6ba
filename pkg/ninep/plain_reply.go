package ninep

import (
	"strconv"
	"syscall"
	"time"

	p9p "github.com/docker/go-p9p"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The server's answers in 9P2000.

// maxOwner is the longest name of a user or group that is shown, in bytes; with it
// the stat of any entry fits into a frame of MinMsize.
const maxOwner = 64

func (d plain) appendReply(b []byte, r *request, p *reply) []byte {
	switch r.op {
	case opRead:
		start := len(b)
		return sizeFrame(putData(begin(b, tRead+1, r.tag), p.data), start)
	case opClunk:
		return sizeFrame(begin(b, tClunk+1, r.tag), len(b))
	}
	return d.appendMessage(b, r.tag, d.message(r, p))
}

// message is the answer to r.
func (d plain) message(r *request, p *reply) p9p.Message {
	switch r.op {
	case opWalk:
		qids := make([]p9p.Qid, len(p.qids))
		for i, q := range p.qids {
			qids[i] = q.plain()
		}
		return p9p.MessageRwalk{Qids: qids}
	case opOpen:
		return p9p.MessageRopen{Qid: p.qids[0].plain()} // iounit 0: as much as a frame takes
	case opGetattr:
		return p9p.MessageRstat{Stat: d.stat(p.name, p.qids[0], &p.attr)}
	case opFlush:
		return p9p.MessageRflush{}
	case opWrite:
		return p9p.MessageRwrite{Count: p.count}
	case opAuth:
		return p9p.MessageRauth{Qid: p.qids[0].plain()}
	case opAttach:
		return p9p.MessageRattach{Qid: p.qids[0].plain()}
	case opFsync:
		return p9p.MessageRwstat{}
	}
	return p9p.MessageRerror{Ename: errorText(syscall.EIO)}
}

func (d plain) appendError(b []byte, tag uint16, err error) []byte {
	return d.appendMessage(b, tag, p9p.MessageRerror{Ename: errorText(err)})
}

// appendMessage is the library's encoder. What it cannot encode is EIO.
func (plain) appendMessage(b []byte, tag uint16, m p9p.Message) []byte {
	start := len(b)
	body, err := encode(&p9p.Fcall{Type: m.Type(), Tag: p9p.Tag(tag), Message: m})
	if err != nil {
		b = begin(b, tError+1, tag)
		b = putStr(b, errorText(syscall.EIO))
		return sizeFrame(b, start)
	}
	return sizeFrame(append(append(b, 0, 0, 0, 0), body...), start)
}

func encode(v any) (b []byte, err error) {
	defer rescueCodec(&err)
	return p9p.NewCodec().Marshal(v)
}

func (d plain) appendEntry(b []byte, e *vfs.DirEntry, a *vfs.Attr) []byte {
	stat := d.stat(e.Name, qid{typ: qidType(e.Type), path: e.ID}, a)
	body, err := encode(&stat)
	if err != nil {
		return b
	}
	return append(b, body...)
}

// stat is what Tstat says (stat(5)). A directory has no length, and neither has
// a link, whose size on Linux is not that of its text; those of an open file are
// right, for a has them.
func (d plain) stat(name string, q qid, a *vfs.Attr) p9p.Dir {
	s := p9p.Dir{
		Qid: q.plain(), Mode: a.Mode & 0o777, Length: a.Size, Name: name,
		AccessTime: plainTime(a.Atime), ModTime: plainTime(a.Mtime),
	}
	switch q.nodeType() {
	case vfs.TypeDir:
		s.Mode |= p9p.DMDIR
		s.Length = 0
	case vfs.TypeLink:
		s.Mode |= p9p.DMSYMLINK
	}
	s.UID, s.GID = d.names(a.UID, a.GID)
	s.MUID = s.UID
	return s
}

// names are those of a user and a group, or their numbers.
func (d plain) names(uid, gid uint32) (user, group string) {
	if d.owners != nil {
		user, group = d.owners(uid, gid)
	}
	return nameOr(user, uid), nameOr(group, gid)
}

func nameOr(name string, id uint32) string {
	if name == "" || len(name) > maxOwner {
		return strconv.FormatUint(uint64(id), 10)
	}
	return name
}

func (q qid) plain() p9p.Qid {
	return p9p.Qid{Type: p9p.QType(q.typ), Version: q.version, Path: q.path}
}

// plainTime: seconds in 32 bits; what does not fit, as the zero time, is 0.
func plainTime(t time.Time) time.Time {
	if s := t.Unix(); s != int64(uint32(s)) {
		return time.Unix(0, 0)
	}
	return t
}
