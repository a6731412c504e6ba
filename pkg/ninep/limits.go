package ninep

import "time"

// Limits bound what one client can make the server hold or wait for. A zero
// field has its default. Whoever reaches a limit is slowed or refused alone.
type Limits struct {
	// Connections is how many there may be at once; one more is closed at once.
	// Default 16384.
	Connections int
	// Msize is the largest frame in bytes, sent or taken; at least MinMsize.
	// Default MaxMsize, which is also the most.
	Msize uint32
	// Fids is how many a connection may hold; one more is EMFILE. Default 65536.
	Fids int
	// Requests is how many of a connection may be in flight; beyond that the
	// server reads no more from it until one ends. Default 1024.
	Requests int
	// OpenBytes is how much content the open files of a connection may hold in
	// memory; an open that would exceed it is EMFILE. Default 256 MiB.
	OpenBytes int64
	// Negotiate is how long a new connection may take to its first Tversion, a
	// TLS handshake included. Default 10 s.
	Negotiate time.Duration
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
	// MaxWalk is the most elements of one Twalk, as walk(5) has it.
	MaxWalk = 16

	// pendingBytes is how much may wait to be written to one connection before
	// those who add to it wait for it to drain.
	pendingBytes = 1 << 20
	// maxFixed is more than any answer has beside its data or text, in bytes.
	maxFixed = 256
	// maxString bounds aname and a link's text, in bytes: PATH_MAX.
	maxString = 4096
)

func (l Limits) withDefaults() Limits {
	set := func(p *int, d int) {
		if *p <= 0 {
			*p = d
		}
	}
	set(&l.Connections, 16384)
	set(&l.Fids, 65536)
	set(&l.Requests, 1024)
	if l.OpenBytes <= 0 {
		l.OpenBytes = 256 << 20
	}
	if l.Msize == 0 || l.Msize > MaxMsize {
		l.Msize = MaxMsize
	}
	l.Msize = max(l.Msize, MinMsize)
	if l.Negotiate <= 0 {
		l.Negotiate = 10 * time.Second
	}
	if l.Write <= 0 {
		l.Write = 30 * time.Second
	}
	return l
}
