package vfs

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// Identity is whom a tree is attached for. It has been established by the
// front: no part of it is a mere claim of the client's.
type Identity struct {
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary groups, sorted, without GID

	// Cert is the name in the requester's verified certificate, "" for one without. Where no user belongs to it, UID and GID are OverflowID.
	Cert string
}

// Root is the identity of the superuser.
var Root = Identity{}

// The ids that stand for "nobody in particular": the overflow id of user
// namespaces and the all-ones id of 9P. They never match a grant.
const (
	OverflowID uint32 = 65534
	NoID       uint32 = 1<<32 - 1
)

// IsRoot reports whether the identity is the superuser's.
func (id Identity) IsRoot() bool { return id.UID == 0 }

// Key is a string that is equal for equal identities only.
func (id Identity) Key() string {
	var b strings.Builder
	b.WriteString(strconv.FormatUint(uint64(id.UID), 10))
	b.WriteByte(':')
	b.WriteString(strconv.FormatUint(uint64(id.GID), 10))
	for _, g := range id.Groups {
		b.WriteByte(',')
		b.WriteString(strconv.FormatUint(uint64(g), 10))
	}
	if id.Cert != "" {
		b.WriteByte('@')
		b.WriteString(strconv.Quote(id.Cert)) // whatever it holds, no NUL
	}
	return b.String()
}

// Equal reports whether both have the same ids, groups and certificate's name.
func (id Identity) Equal(o Identity) bool {
	return id.UID == o.UID && id.GID == o.GID && id.Cert == o.Cert && slices.Equal(id.Groups, o.Groups)
}

// Caller is the thread of this machine on whose behalf one request is made,
// where the front knows it (FUSE does, 9P does not). It decides only what
// "self" is, and whose listing it was that a mount promises to keep to; rights come from the
// Identity.
type Caller struct {
	TID uint32 // thread id in the pid namespace of this process; 0 is unknown
}

type callerKey struct{}

// WithCaller returns a context that carries c.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns the caller that ctx carries, if any.
func CallerOf(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok && c.TID != 0
}

// An Origin is from where somebody attaches, for the log of a tree that lets things be done. It
// decides nothing.
type Origin struct {
	Peer string // the front's word for the other end
	Cert string // the name in the other end's certificate; "" is none
}

type originKey struct{}

// WithOrigin returns a context for Attach that carries o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf returns the origin that ctx carries, or one that says that there is none.
func OriginOf(ctx context.Context) Origin {
	o, ok := ctx.Value(originKey{}).(Origin)
	if !ok {
		o.Peer = "this process"
	}
	return o
}
