package ninep

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A client that authenticates itself makes a fid by Tauth, writes a credential to it
// and names the fid in its Tattach (attach(5)). What a credential is worth is for
// ServerConfig.Identify to say.

// maxCredential is the longest credential, in bytes. MUNGE's has some hundred.
const maxCredential = 16 << 10

// A credential is what is written to a fid made by Tauth.
type credential struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

// WriteAt implements vfs.Writer: it is written from its start on, without gaps.
func (k *credential) WriteAt(_ context.Context, p []byte, off int64) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case off != int64(len(k.text)):
		return 0, syscall.EINVAL
	case len(k.text)+len(p) > maxCredential:
		return 0, syscall.EFBIG
	}
	k.text = append(k.text, p...)
	return len(p), nil
}

// ReadAt implements vfs.Handle: the server has nothing to say.
func (k *credential) ReadAt(context.Context, []byte, int64) (int, error) { return 0, nil }

// Close implements vfs.Handle.
func (k *credential) Close() error { return nil }

// authFile is the node that such a fid stands for.
type authFile struct{}

// ID implements vfs.Node. No tree has it.
func (authFile) ID() uint64 { return 1<<64 - 1 }

// Type implements vfs.Node.
func (authFile) Type() vfs.Type { return vfs.TypeFile }

// Attr implements vfs.Node.
func (a authFile) Attr(context.Context) (vfs.Attr, error) {
	return vfs.Attr{ID: a.ID(), Mode: uint32(vfs.TypeFile) | 0o600, Nlink: 1, UID: vfs.OverflowID, GID: vfs.OverflowID}, nil
}

// qidAuth is the type of the qid of such a fid (QTAUTH).
const qidAuth = 0x08

// authenticate makes the fid of a Tauth.
func (c *conn) authenticate(j *job, f *fid) error {
	if f.at != nil {
		return errFidInUse
	}
	if err := c.stand(f, rootPlace(authFile{}, c.payer)); err != nil {
		return err
	}
	if err := c.pin(f, maxCredential); err != nil {
		_, counted := f.take()
		c.release(counted)
		return err
	}
	k := &credential{}
	f.open, f.file, f.writer = true, k, k
	j.rep.qids = append(j.rep.walked[:0], qid{typ: qidAuth, path: f.at.id})
	return nil
}

// credentialOf is what was written to a fid made by Tauth.
func (c *conn) credentialOf(afid uint32) ([]byte, error) {
	c.mu.Lock()
	f := c.fids[afid]
	var file vfs.Handle
	if f != nil && f.last == nil { // nothing is on its way to it
		file = f.file
	}
	c.mu.Unlock()
	k, ok := file.(*credential)
	if !ok {
		return nil, syscall.EBADF
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]byte{}, k.text...), nil // never nil
}

// decodeAuth decodes a Tauth. One that is no proper message names no fid, and is
// refused for that.
func decodeAuth(c *cursor, r *request) error {
	r.op, r.fid = opAuth, c.u32()
	if c.bad {
		r.fid = noFID
	}
	return nil
}

// decodeTime bounds the wait for MUNGE.
const decodeTime = 5 * time.Second

// byMunge is whom a MUNGE credential is from. A claim to be another is refused.
func (t Trust) byMunge(c Claim) (vfs.Identity, error) {
	ctx, cancel := context.WithTimeout(context.Background(), decodeTime)
	defer cancel()
	uid, gid, err := t.Munge(ctx, c.Credential)
	if err != nil {
		return refuse(syscall.EACCES, "the credential: %v", err)
	}
	if isNobody(uid) || isNobody(gid) {
		return refuse(syscall.EACCES, "the credential is of nobody (%d:%d)", uid, gid)
	}
	if c.NUname != vfs.NoID && c.NUname != uid {
		return refuse(syscall.EPERM, "the credential is of the user %d, not %d", uid, c.NUname)
	}
	return t.ofProcess(uid, gid)
}

// ofProcess is the identity of a user one of whose processes has that effective group.
func (t Trust) ofProcess(uid, gid uint32) (vfs.Identity, error) {
	who, err := t.lookup(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return who, err
	}
	groups := who.Groups
	if who.GID != gid { // the process that made it had another group first
		groups = slices.Sorted(slices.Values(append(slices.Clone(groups), who.GID)))
	}
	if isNobody(who.GID) { // who has only a number has no group but this
		groups = nil
	}
	return identity(uid, gid, groups), nil
}

// goesBack reports whether a claim without a credential goes back to the one that was
// shown on the connection before: it names that user, or anybody where that is root; or
// nobody, where nothing else is known of the peer. diod's clients rely on it: mount.diod
// authenticates and hands the connection to the kernel, which attaches without.
func (c Claim) goesBack(p Peer) bool {
	switch {
	case c.NUname == vfs.NoID:
		return p.Network == "tcp"
	case c.NUname == c.Proven.UID, c.Proven.IsRoot():
		return true
	}
	return p.Network == "tcp" // to be refused
}

// byProof is the identity of such a claim. Root's connection speaks for users as the
// user database has them: who is root on a machine that has MUNGE's key can make
// anybody's credential there, but says no groups by it.
func (t Trust) byProof(c Claim) (vfs.Identity, error) {
	switch proven := c.Proven; {
	case c.NUname == vfs.NoID, c.NUname == proven.UID:
		return t.ofProcess(proven.UID, proven.GID)
	case !proven.IsRoot():
		return refuse(syscall.EPERM, "the credential on this connection was of the user %d, not %d", proven.UID, c.NUname)
	case isNobody(c.NUname):
		return refuse(syscall.EPERM, "the user number %d is nobody's", c.NUname)
	}
	return t.lookup(strconv.FormatUint(uint64(c.NUname), 10))
}
