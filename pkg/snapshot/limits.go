package snapshot

import "context"

// Limits of the format.
const (
	MaxFiles   = 64       // files in one request
	MaxRequest = 16 << 10 // bytes of one request

	// CompressFrom is the size in bytes from which on a body is compressed, if
	// the request allows it.
	CompressFrom = 64 << 10
)

// Limits bounds what an answer may make its reader hold. Zero fields stand for
// the defaults.
type Limits struct {
	Answer int // bytes of an answer, as sent and decompressed; default and most 256 MiB
	Procs  int // processes; default 4194304, the kernel's PID_MAX_LIMIT

	// Expect is how many bytes an answer is likely to have: so much is asked for
	// before its length is known.
	Expect int
	// Room, if it is not nil, is asked before an answer that is longer is received,
	// so that there are not too many in memory at once. It waits until there is room
	// for that many bytes, and returns what gives it back.
	Room func(ctx context.Context, bytes int) (done func(), err error)
}

const (
	maxAnswer    = 1 << refBits // a place in it fits a ref
	defaultProcs = 4 << 20
)

func (l Limits) withDefaults() Limits {
	if l.Answer <= 0 {
		l.Answer = maxAnswer
	}
	l.Answer = min(l.Answer, maxAnswer)
	if l.Procs <= 0 {
		l.Procs = defaultProcs
	}
	return l
}

// Sizes of the fixed parts, in bytes; see the package comment.
const (
	requestFixed = 32
	headerFixed  = 32
	factsFixed   = 20
	recordFixed  = 48
	ownerAt      = 36 // of the owner of the files, in a record
	flagsAt      = 44 // of the flags, in a record

	flagCompressed = 1 // of an answer, and of a request that allows it
	flagRemember   = 2 // of a request
	flagOwnerReads = 1 // of a record
	errnoBit       = 1 << 31
	formedBit      = 1 << 30
	lengthMask     = formedBit - 1
	maxErrno       = 4095
	maxPID         = 1<<31 - 1
)
