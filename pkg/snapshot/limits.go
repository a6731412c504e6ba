package snapshot

import (
	"context"
	"fmt"
	"syscall"
)

// Limits of the format.
const (
	MaxFiles   = 64       // files in one request
	MaxRequest = 16 << 10 // bytes of one request
)

// Limits bounds what an answer may make its reader hold, and do. Zero fields stand for
// the defaults. An answer that exceeds one is refused with an [ErrTooMuch].
type Limits struct {
	// Answer is how many bytes an answer may have, as sent, and with the table
	// before; default and most 256 MiB.
	Answer int
	// Procs is how many processes there may be; default 4194304, the kernel's
	// PID_MAX_LIMIT. There are never more than the node's own pid_max either.
	Procs int

	// Expect is how many bytes an answer is likely to have: so much is asked for
	// before its length is known.
	Expect int
	// Room, if it is not nil, is asked before an answer that is longer is received,
	// so that there are not too many in memory at once. It waits until there is room
	// for that many bytes, and returns what gives it back.
	Room func(ctx context.Context, bytes int) (done func(), err error)
	// Turn, if it is not nil, is asked before a large answer is
	// checked, which takes that many bytes of memory and a processor for a while. It
	// waits until it is this answer's turn, and returns what ends that.
	Turn func(ctx context.Context, bytes int) (done func(), err error)
}

// turnFrom is how many bytes an answer has from which on it waits for its turn: less is
// checked in a millisecond.
const turnFrom = 1 << 20

// ErrTooMuch is an answer with more than is allowed. It is an EFBIG.
type ErrTooMuch struct {
	What   string // "processes" or "bytes"
	Have   int
	Most   int
	PIDMax bool // Most is the node's own pid_max
}

func (e *ErrTooMuch) Error() string {
	if e.PIDMax {
		return fmt.Sprintf("the node tells of %d %s, and its pid_max is %d", e.Have, e.What, e.Most)
	}
	return fmt.Sprintf("the node tells of %d %s, of which at most %d are taken", e.Have, e.What, e.Most)
}

// Unwrap is EFBIG.
func (*ErrTooMuch) Unwrap() error { return syscall.EFBIG }

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

	flagCompress   = 1 // of a request; it is passed over
	flagRemember   = 2 // of a request
	flagFiguresToo = 4 // of a request
	flagFigures    = 1 // of an answer
	flagAlone      = 8 // of a request: a pid comes last
	flagOwnerReads = 1 // of a record
	errnoBit       = 1 << 31
	formedBit      = 1 << 30
	lengthMask     = formedBit - 1
	maxErrno       = 4095
	maxPID         = 1<<31 - 1
)
