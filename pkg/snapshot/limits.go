package snapshot

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
	Answer int // bytes of an answer, as sent and decompressed; default 256 MiB, at most 2 GiB
	Procs  int // processes; default 4194304, the kernel's PID_MAX_LIMIT
}

const (
	defaultAnswer = 256 << 20
	maxAnswer     = 1<<31 - 1 // lengths leave bit 31 free
	defaultProcs  = 4 << 20
)

func (l Limits) withDefaults() Limits {
	if l.Answer <= 0 {
		l.Answer = defaultAnswer
	}
	l.Answer = min(l.Answer, maxAnswer)
	if l.Procs <= 0 {
		l.Procs = defaultProcs
	}
	return l
}

// Sizes of the fixed parts, in bytes; see the package comment.
const (
	requestFixed = 24
	headerFixed  = 24
	factsFixed   = 20
	recordFixed  = 48
	ownerAt      = 36 // of the owner of the files, in a record
	flagsAt      = 44 // of the flags, in a record

	flagCompressed = 1 // of an answer, and of a request that allows it
	flagOwnerReads = 1 // of a record
	errnoBit       = 1 << 31
	maxErrno       = 4095
	maxPID         = 1<<31 - 1
)
