package ninep

import "time"

// Limits bound what one client can make the server hold or wait for. A zero
// field has its default. Whoever reaches a limit is slowed or refused alone.
// docs/9p.md lists them with what a client sees of each.
type Limits struct {
	// Connections is how many there may be at once whose peer is known; one more is
	// closed at once. Default 16384.
	Connections int
	// Reserve is how many of these only trusted peers may have
	// (ServerConfig.Trusted). Default an eighth of Connections.
	Reserve int
	// PeerConnections is how many one peer may have: a user on a unix socket, the
	// holder of a certificate, else a network (an IPv4 /24, an IPv6 /64). One more is
	// closed at once. Default an eighth of Connections, at least 4 and at most 1024.
	PeerConnections int
	// Handshakes is how many there may be beside these whose peer is not known: a TLS
	// handshake is under way, or over plain TCP nobody has attached. One more puts
	// out the oldest of the network that has most. Default 256.
	Handshakes int
	// Descriptors is how many file descriptors all connections may take; Handshakes
	// is at most a quarter of it, and Connections the rest. Default as many as
	// those say.
	Descriptors int
	// Msize is the largest frame in bytes, sent or taken; at least MinMsize.
	// Default MaxMsize, which is also the most.
	Msize uint32
	// Fids is how many a connection may hold; one more is EMFILE. Default 65536.
	Fids int
	// Requests is how many of a connection may be in flight; beyond that the
	// server reads no more from it until one ends. Default 1024.
	Requests int
	// OpenBytes is how much the open files and directories of a connection may hold
	// in memory; an open or a read that would exceed it is EMFILE. Default 256 MiB.
	OpenBytes int64
	// IdentityBytes is how much memory one identity may have the server hold, on all
	// its connections together: for fids with their names, contents, listings and the
	// connections themselves (see account). A request that would exceed it is ENFILE.
	// Default 512 MiB.
	IdentityBytes int64
	// IdentityPassing is the same for answers that are not taken, and a quarter of it
	// for requests that are being carried out. Default 256 MiB.
	IdentityPassing int64
	// Negotiate is how long a new connection may take to its first Tversion, a
	// TLS handshake included. Default 10 s.
	Negotiate time.Duration
	// Idle is how long a connection that holds no fid may be without a request,
	// before it is closed; one that holds a fid, as a mount does, may be silent
	// for ever. It is closed between one and two times Idle after its last
	// request. Default 10 min.
	Idle time.Duration
	// Vacant is how long a connection may be without a request that has never
	// attached to a tree with anything in it for it (vfs.Vacant), fids or no. It is
	// closed soon after. Default 10 s.
	Vacant time.Duration
	// Write is how long a client may leave its answers unread. Default 30 s.
	Write time.Duration
}

// What holds for every connection.
const (
	// MaxMsize is the largest frame that either side agrees to, in bytes.
	MaxMsize = 1 << 20
	// MinMsize is the smallest: it has room for every answer of fixed length
	// and for one directory entry of the longest name.
	MinMsize = 512
	// MaxWalk is the most elements of one Twalk, as walk(5) has it; one with
	// more ends the connection.
	MaxWalk = 16
	// MaxPath is the longest path that a fid can stand on, in bytes, with a slash
	// for each element; a walk beyond is ENAMETOOLONG, as one of a name longer
	// than vfs.MaxName is.
	MaxPath = 4096

	// minDescriptors is the least that Limits.Descriptors can be.
	minDescriptors = 32
	// strangerFids is how many fids a connection may hold before it has attached.
	strangerFids = 16

	// pendingBytes is how much may wait to be written to one connection before
	// those who add to it wait for it to drain.
	pendingBytes = 1 << 20
	// maxFixed is more than any answer has beside its data or text, in bytes.
	maxFixed = 1024
	// maxString bounds aname and a link's text, in bytes: PATH_MAX.
	maxString = 4096
)

func (l Limits) withDefaults() Limits {
	setDefault(&l.Connections, 16384)
	setDefault(&l.Handshakes, 256)
	if l.Descriptors > 0 {
		l.Descriptors = max(l.Descriptors, minDescriptors)
		l.Handshakes = min(l.Handshakes, l.Descriptors/4)
		l.Connections = min(l.Connections, l.Descriptors-l.Handshakes)
	}
	if l.Reserve <= 0 {
		l.Reserve = l.Connections / 8
	}
	l.Reserve = min(l.Reserve, l.Connections-1)
	setDefault(&l.PeerConnections, min(max(l.Connections/8, 4), 1024))
	setDefault(&l.Fids, 65536)
	setDefault(&l.Requests, 1024)
	setDefault(&l.OpenBytes, 256<<20)
	setDefault(&l.IdentityBytes, 512<<20)
	setDefault(&l.IdentityPassing, 256<<20)
	setDefault(&l.Vacant, 10*time.Second)
	setDefault(&l.Negotiate, 10*time.Second)
	setDefault(&l.Idle, 10*time.Minute)
	setDefault(&l.Write, 30*time.Second)
	if l.Msize == 0 || l.Msize > MaxMsize {
		l.Msize = MaxMsize
	}
	l.Msize = max(l.Msize, MinMsize)
	return l
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}
