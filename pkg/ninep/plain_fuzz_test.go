package ninep

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"testing"

	p9p "github.com/docker/go-p9p"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// plainCalls has one of every message that our client sends in 9P2000.
func plainCalls() []call {
	return []call{
		{typ: tAttach, tag: 1, uname: "glenda", aname: "x"}, walk(2, 0, 1, "a", "b"), walk(2, 0, 1), {typ: tLopen, tag: 3, fid: 1, flags: 2},
		on(tRead, 4, 1), on(tReaddir, 4, 1), on(tGetattr, 5, 1), on(tClunk, 6, 1), flush(7, 3), {typ: tWrite, tag: 8, data: []byte("hello")},
	}
}

// plainRequests has one of every message that a server takes.
func plainRequests(t testing.TB) (all [][]byte) {
	for _, k := range plainCalls() {
		all = append(all, appendPlainCall(nil, &k))
	}
	for _, text := range []string{
		`Tversion ~ msize=8192 version="9P2000"`, `Tauth 1 afid=9 uname="glenda" aname=""`, `Tcreate 1 fid=0 name="x" perm=0644 mode=1`,
		`Tremove 1 fid=0`, `Twstat 1 fid=0 stat={~}`, `Twstat 1 fid=0 stat={0777}`, `Topen 1 fid=0 mode=80`,
	} {
		frame, err := encodeText(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, frame)
	}
	return all
}

// plainAnswers has one of every answer.
func plainAnswers() (all [][]byte) {
	d := plain{}
	p := reply{data: []byte("data"), name: "stat", attr: vfs.Attr{Mode: 0o100444, UID: 10, GID: 20, Size: 5}}
	p.qids = append(p.walked[:0], qid{qidFile, 7, 1})
	for _, o := range []op{opRead, opWalk, opClunk, opOpen, opGetattr, opFlush, opWrite, opAttach, opFsync} {
		all = append(all, d.appendReply(nil, &request{op: o, tag: 1}, &p))
	}
	q := p
	q.data = d.appendEntry(nil, &vfs.DirEntry{Name: "a", ID: 2, Type: vfs.TypeDir}, &vfs.Attr{})
	all = append(all, d.appendReply(nil, &request{op: opRead, tag: 1}, &q))
	return append(all, d.appendError(nil, 1, errFidInUse), d.appendError(nil, 1, vfs.Missing{}))
}

// FuzzPlainRequest decodes a message of 9P2000 as the server does, and encodes an
// answer.
func FuzzPlainRequest(f *testing.F) {
	for _, r := range plainRequests(f) {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if !complete(frame, MaxMsize) {
			return
		}
		frame = frame[:binary.LittleEndian.Uint32(frame)]
		var r request
		if err := (plain{}).decode(frame, &r); err != nil {
			return
		}
		if len(r.names) > MaxWalk || len(r.data) > len(frame) || len(r.uname)+len(r.aname) > len(frame) {
			t.Fatalf("%+v", r)
		}
		p := reply{data: r.data, name: r.aname}
		p.qids = p.walked[:1]
		if b := (plain{}).appendReply(nil, &r, &p); !complete(b, MaxMsize) {
			t.Fatalf("answer % x", b)
		}
	})
}

// FuzzPlainAnswer decodes an answer as the client does. What the client takes the
// library takes too, and means the same by it.
func FuzzPlainAnswer(f *testing.F) {
	for _, a := range plainAnswers() {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if !complete(frame, MaxMsize) {
			return
		}
		frame = frame[:binary.LittleEndian.Uint32(frame)]
		for _, typ := range []uint8{tAttach, tWalk, tLopen, tRead, tReaddir, tGetattr, tClunk, tFlush, tWrite} {
			if plainType(typ)+1 != frame[4] {
				continue
			}
			k := call{typ: typ, names: []string{"a", "b"}, count: 200, data: []byte("12345"), ex: new(exchange)}
			if k.decodePlain(frame, nil) != nil {
				continue
			}
			m, err := decodeMessage(frame)
			if err != nil {
				t.Fatalf("the library does not take % x: %v", frame, err)
			}
			sameAnswer(t, &k, m)
			for _, e := range k.entries {
				if !vfs.ValidName(e.Name) || e.ID == 0 {
					t.Fatalf("%+v", e)
				}
			}
		}
	})
}

// sameAnswer compares what the client made of an answer with what the library did.
func sameAnswer(t *testing.T, k *call, m p9p.Message) {
	t.Helper()
	var qids []p9p.Qid
	switch m := m.(type) {
	case p9p.MessageRattach:
		qids = append(qids, m.Qid)
	case p9p.MessageRopen:
		qids = append(qids, m.Qid)
	case p9p.MessageRwalk:
		qids = m.Qids
	case p9p.MessageRstat:
		qids = append(qids, m.Stat.Qid)
		if k.attr.Mode&0o777 != m.Stat.Mode&0o777 || k.attr.Size != m.Stat.Length {
			t.Fatalf("%+v is not %+v", k.attr, m.Stat)
		}
		if at := uint32(m.Stat.ModTime.Unix()); at != 0 && uint32(k.attr.Mtime.Unix()) != at {
			t.Fatalf("%v is not %v", k.attr.Mtime, m.Stat.ModTime)
		}
	case p9p.MessageRwrite:
		if k.n != m.Count {
			t.Fatalf("%d is not %d", k.n, m.Count)
		}
	case p9p.MessageRread:
		if k.typ == tRead && !bytes.Equal(k.result, m.Data) {
			t.Fatalf("%q is not %q", k.result, m.Data)
		}
	}
	if len(qids) != len(k.qids) {
		t.Fatalf("%v is not %v", k.qids, qids)
	}
	for i, q := range k.qids {
		if q.plain().Version != qids[i].Version || q.typ != uint8(qids[i].Type) || q.path != idOf(qids[i].Path) {
			t.Fatalf("%v is not %v", k.qids, qids)
		}
	}
}

// FuzzPlainServer sends bytes to a server that has been attached to in 9P2000.
func FuzzPlainServer(f *testing.F) {
	for _, r := range plainRequests(f) {
		f.Add(r)
	}
	f.Add(bytes.Join(plainRequests(f), nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		serveBytes(t, append(hello("9P2000"), appendPlainCall(nil, &call{typ: tAttach, tag: 1})...), data)
	})
}

// FuzzPlainCodec: what we encode the library decodes to the same, and back.
func FuzzPlainCodec(f *testing.F) {
	for _, k := range plainCalls() {
		f.Add(k.typ, k.tag, k.fid, k.newfid, k.offset, k.count, "name", "other", k.data)
	}
	f.Fuzz(func(t *testing.T, typ uint8, tag uint16, fid, newfid uint32, offset uint64, count uint32, one, other string, data []byte) {
		if len(one) > maxString || len(other) > maxString || len(data) > 1000 {
			return
		}
		k := call{typ: typ, tag: tag, fid: fid, newfid: newfid, flags: count & flagAccess, count: count, offset: offset, data: data}
		k.old = &call{tag: uint16(count)}
		want := p9p.Message(nil)
		switch typ {
		case tAttach:
			k.uname, k.aname = one, other
			want = p9p.MessageTattach{Fid: p9p.Fid(fid), Afid: p9p.NOFID, Uname: one, Aname: other}
		case tWalk:
			k.names = []string{one, other}
			want = p9p.MessageTwalk{Fid: p9p.Fid(fid), Newfid: p9p.Fid(newfid), Wnames: k.names}
		case tLopen:
			want = p9p.MessageTopen{Fid: p9p.Fid(fid), Mode: p9p.Flag(count & flagAccess)}
		case tRead, tReaddir:
			want = p9p.MessageTread{Fid: p9p.Fid(fid), Offset: offset, Count: count}
		case tGetattr:
			want = p9p.MessageTstat{Fid: p9p.Fid(fid)}
		case tClunk:
			want = p9p.MessageTclunk{Fid: p9p.Fid(fid)}
		case tFlush:
			want = p9p.MessageTflush{Oldtag: p9p.Tag(count)}
		case tWrite:
			want = p9p.MessageTwrite{Fid: p9p.Fid(fid), Offset: offset, Data: append([]byte(nil), data...)}
		default:
			return
		}
		frame := appendPlainCall(nil, &k)
		got, err := decodeMessage(frame)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("% x is %+v to the library, %v, want %+v", frame, got, err, want)
		}
		if theirs := (plain{}).appendMessage(nil, tag, want); !bytes.Equal(theirs, frame) {
			t.Fatalf("we write % x, the library % x", frame, theirs)
		}
		answerBothWays(t, tag, newfid, offset, count, one, data)
	})
}

// answerBothWays encodes answers as the server does and decodes them as the client
// does and as the library does.
func answerBothWays(t *testing.T, tag uint16, version uint32, path uint64, count uint32, name string, data []byte) {
	t.Helper()
	p := reply{data: data, name: name, count: count % 5}
	p.qids = append(p.walked[:0], qid{qidFile, version, path}, qid{qidDir, count, path + 1})
	p.attr = vfs.Attr{Mode: 0o100000 | count&0o777, UID: version, GID: count, Size: path}
	for typ, o := range map[uint8]op{tAttach: opAttach, tWalk: opWalk, tLopen: opOpen, tRead: opRead, tGetattr: opGetattr, tClunk: opClunk, tFlush: opFlush, tWrite: opWrite} {
		frame := plain{}.appendReply(nil, &request{op: o, tag: tag}, &p)
		k := call{typ: typ, names: []string{"a", "b"}, count: math.MaxUint32, data: []byte("12345"), ex: new(exchange)}
		if err := k.decodePlain(frame, nil); err != nil {
			t.Fatalf("op %d: % x: %v", o, frame, err)
		}
		m, err := decodeMessage(frame)
		if err != nil {
			t.Fatalf("op %d: % x: %v", o, frame, err)
		}
		sameAnswer(t, &k, m)
		if typ == tGetattr && (k.attr.UID != version || k.attr.GID != count || k.attr.Mode != p.attr.Mode || k.attr.Size != path) {
			t.Fatalf("%+v is not %+v", k.attr, p.attr)
		}
	}
}
