package ninep

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// A model is what a server should know of a connection's fids, and what it should
// answer.
type model struct {
	plain bool
	fids  map[uint32]*spot
}

// A spot is where a fid stands.
type spot struct {
	path string // from the root, "" at it
	open bool
}

// A thing is what the tree has at a path: a text, which is the content of a file
// and the names in a directory.
type thing struct {
	typ  vfs.Type
	text string
}

var things = map[string]thing{
	"": {vfs.TypeDir, "a b"}, "a": {vfs.TypeDir, "f l"}, "a/f": {vfs.TypeFile, "content of f"}, "a/l": {vfs.TypeLink, "../b"},
	"b": {vfs.TypeDir, "c"}, "b/c": {vfs.TypeDir, "f"}, "b/c/f": {vfs.TypeFile, ""},
}

// TestModel sends random requests, proper and not, one after the other, and
// compares each answer with the model's.
func TestModel(t *testing.T) {
	tree := vfstest.NewTree()
	for _, p := range slices.Sorted(maps.Keys(things)) { // the order of listings
		switch text := things[p].text; things[p].typ {
		case vfs.TypeFile:
			tree.Put(p, vfstest.File{Data: []byte(text)})
		case vfs.TypeLink:
			tree.Put(p, vfstest.Link{Target: text})
		}
	}
	for _, version := range []string{"9P2000.L", "9P2000"} {
		t.Run(version, func(t *testing.T) {
			r := newRig(t, tree, func(cfg *ServerConfig) {
				cfg.Log = discard()
				cfg.Identify = func(Peer, Claim) (vfs.Identity, error) { return vfs.Root, nil }
			})
			seed := uint64(time.Now().UnixNano())
			random := rand.New(rand.NewPCG(seed, 0))
			c, m := r.talk(r.dial()), &model{plain: version == "9P2000"}
			for step := range 5000 {
				if step%500 == 0 { // a new session
					c.write(hello(version))
					c.expect(tVersion+1, noTag)
					m.fids = make(map[uint32]*spot)
				}
				k := m.request(random)
				want, err := m.answer(&k)
				if m.plain {
					c.write(appendPlainCall(nil, &k))
				} else {
					c.write(appendCall(nil, &k))
				}
				if got := m.read(c, &k); got != want && err == nil || err != nil && got != m.refusal(err) {
					t.Fatalf("seed %d step %d: type %d fid %d newfid %d names %q flags %o offset %d aname %q: got %q, want %q, %v",
						seed, step, k.typ, k.fid, k.newfid, k.names, k.flags, k.offset, k.aname, got, want, err)
				}
			}
		})
	}
}

// request is a random one.
func (m *model) request(r *rand.Rand) call {
	fids := []uint32{0, 0, 1, 2, 3, 4, 5, noFID}
	types := []uint8{tAttach, tWalk, tWalk, tWalk, tWalk, tLopen, tLopen, tRead, tGetattr, tWrite, tClunk, tRemove, tFlush}
	if !m.plain {
		types = append(types, tReaddir, tReadlink, tFsync)
	}
	names := []string{"a", "a", "b", "b", "c", "c", "f", "f", "l", "..", "x", "", "."}
	k := call{typ: types[r.IntN(len(types))], tag: 5, fid: fids[r.IntN(len(fids))], count: 4000}
	switch k.typ {
	case tAttach:
		k.aname = []string{"", "", "elsewhere"}[r.IntN(3)]
	case tWalk:
		k.newfid = fids[r.IntN(len(fids))]
		for range r.IntN(5) {
			k.names = append(k.names, names[r.IntN(len(names))])
		}
	case tLopen:
		k.flags = []uint32{0, 0, 0, 1, 2}[r.IntN(5)]
	case tRead:
		k.offset = []uint64{0, 0, 1, 5, 1 << 40}[r.IntN(5)]
	case tFlush:
		k.old = &call{tag: uint16(r.IntN(9))}
	}
	return k
}

// answer is what the model answers, and what becomes of its fids.
func (m *model) answer(k *call) (string, error) {
	f := m.fids[k.fid]
	switch {
	case k.typ == tFlush:
		return "", nil
	case k.typ == tAttach:
		switch {
		case k.fid == noFID:
			return "", syscall.EBADF
		case f != nil:
			return "", errFidInUse
		case k.aname != "":
			return "", syscall.ENOENT
		}
		m.fids[k.fid] = new(spot)
		return "d", nil
	case f == nil:
		return "", syscall.EBADF
	case k.typ == tWalk:
		return m.walk(k, f)
	}
	at := things[f.path]
	switch k.typ {
	case tLopen:
		return m.openSpot(f, at, k.flags != 0)
	case tRead:
		return m.readSpot(f, at, k.offset)
	case tReaddir:
		if !f.open {
			return "", errFidNotOpen
		}
		if at.typ != vfs.TypeDir {
			return "", syscall.ENOTDIR
		}
		return at.text, nil
	case tWrite:
		switch {
		case !f.open:
			return "", errFidNotOpen
		case at.typ == vfs.TypeDir:
			return "", syscall.EISDIR
		}
		return "", syscall.EROFS
	case tReadlink:
		if at.typ != vfs.TypeLink {
			return "", syscall.EINVAL
		}
		return at.text, nil
	case tGetattr:
		return letter(at.typ), nil
	case tRemove:
		delete(m.fids, k.fid)
		return "", syscall.EROFS
	case tClunk:
		delete(m.fids, k.fid)
	}
	return "", nil
}

func (m *model) openSpot(f *spot, at thing, writes bool) (string, error) {
	switch {
	case f.open:
		return "", errAlreadyOpen
	case at.typ == vfs.TypeDir && writes:
		return "", syscall.EISDIR
	case at.typ == vfs.TypeLink && !m.plain:
		return "", syscall.ELOOP
	case writes:
		return "", syscall.EROFS
	}
	f.open = true
	return letter(at.typ), nil
}

func (m *model) readSpot(f *spot, at thing, offset uint64) (string, error) {
	switch {
	case !f.open:
		return "", errFidNotOpen
	case at.typ != vfs.TypeDir:
		return at.text[min(offset, uint64(len(at.text))):], nil
	case !m.plain:
		return "", syscall.EISDIR
	case offset != 0: // no directory here ends at one of the others
		return "", syscall.ESPIPE
	}
	return at.text, nil
}

func (m *model) walk(k *call, from *spot) (string, error) {
	switch {
	case k.newfid == noFID:
		return "", syscall.EBADF
	case k.newfid == k.fid && from.open:
		return "", errAlreadyOpen
	case k.newfid != k.fid && m.fids[k.newfid] != nil:
		return "", errFidInUse
	}
	at, passed := from.path, ""
	for i, name := range k.names {
		next, err := into(at, name)
		if err != nil && i == 0 {
			return "", err
		}
		if err != nil {
			return passed, nil
		}
		at = next
		passed += letter(things[at].typ)
	}
	m.fids[k.newfid] = &spot{path: at}
	return passed, nil
}

func into(at, name string) (string, error) {
	switch {
	case name == "..":
		return strings.TrimPrefix(path.Dir(at), "."), nil
	case !vfs.ValidName(name):
		return "", syscall.ENOENT
	case things[at].typ != vfs.TypeDir:
		return "", syscall.ENOTDIR
	}
	next := path.Join(at, name)
	if _, ok := things[next]; !ok {
		return "", syscall.ENOENT
	}
	return next, nil
}

func letter(typ vfs.Type) string {
	return map[vfs.Type]string{vfs.TypeDir: "d", vfs.TypeFile: "f", vfs.TypeLink: "l"}[typ]
}

// refusal is an error as read gives it.
func (m *model) refusal(err error) string {
	if m.plain {
		return "refused: " + errorText(err)
	}
	return "refused: " + vfs.Errno(err).Error()
}

// read is the server's answer, as the model gives it.
func (m *model) read(c *talk, k *call) string {
	c.t.Helper()
	frame := c.read()
	body := cursor{b: frame[headerSize:]}
	if tag := binary.LittleEndian.Uint16(frame[5:]); tag != k.tag {
		c.t.Fatalf("an answer to tag %d", tag)
	}
	switch {
	case m.plain && frame[4] == tError+1:
		return "refused: " + body.str(maxString)
	case !m.plain && frame[4] == tLerror+1:
		return "refused: " + errRemote(body.u32()).Error()
	}
	var err error
	isDir := k.typ == tReaddir || k.typ == tRead && m.fids[k.fid] != nil && things[m.fids[k.fid].path].typ == vfs.TypeDir
	switch {
	case frame[4] != k.typ+1 && !(m.plain && frame[4] == plainType(k.typ)+1):
		c.t.Fatalf("an answer of type %d to a request of type %d", frame[4], k.typ)
	case k.typ == tFsync || k.typ == tClunk || k.typ == tFlush:
		return string(body.b)
	case isDir && m.plain:
		err = k.decodeStats(frame[headerSize+4:])
	case m.plain:
		k.ex = new(exchange)
		err = k.decodePlain(frame, nil)
	default:
		k.ex = new(exchange)
		err = k.decode(frame)
	}
	if err != nil {
		c.t.Fatalf("type %d: % x: %v", k.typ, frame, err)
	}
	said := k.text + string(k.result)
	for _, q := range k.qids {
		said += letter(q.nodeType())
	}
	for i, e := range k.entries {
		said += []string{"", " "}[min(i, 1)] + e.Name
	}
	return said
}
