package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/klauspost/compress/zstd"
)

// Builder makes an answer in one buffer, which it uses again for the next one.
// The order of calls is Reset, then for each process by rising pid Begin and one
// of Put, Add and Fail for each file, then Finish. It is not for concurrent use.
type Builder struct {
	buf     []byte // header and body
	packed  []byte // the answer where it is compressed
	encoder *zstd.Encoder

	files   int
	counts  int // offset of the two counts, in buf
	skipped int
	records int
	begun   int // offset of the record begun, in buf
	missing int // files that the record begun still lacks
	lastPID int32
	err     error // the first misuse, told by Finish
}

// Reset starts an answer about a node for these files.
func (b *Builder) Reset(f Facts, files []string) {
	b.files, b.skipped, b.records, b.missing, b.lastPID, b.err = len(files), 0, 0, 0, 0, nil
	b.buf = append(b.buf[:0], make([]byte, headerFixed)...)
	b.buf = appendFacts(b.buf, f)
	b.buf = binary.LittleEndian.AppendUint16(b.buf, uint16(len(files)))
	for _, name := range files {
		b.buf = appendStr(b.buf, name)
	}
	b.counts = len(b.buf)
	b.buf = append(b.buf, make([]byte, 8)...)
}

// Begin starts the record of a process.
func (b *Builder) Begin(p Proc) {
	if b.missing != 0 {
		b.misused("pid %d begun while pid %d lacks files", p.PID, b.lastPID)
	}
	if p.PID <= b.lastPID {
		b.misused("pid %d after pid %d", p.PID, b.lastPID)
	}
	b.begun, b.missing, b.lastPID = len(b.buf), b.files, p.PID
	b.records++
	b.buf = binary.LittleEndian.AppendUint32(b.buf, uint32(p.PID))
	b.buf = binary.LittleEndian.AppendUint64(b.buf, p.ID)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.UID)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.GID)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.Mode)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.Nlink)
	b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(p.Mtime))
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.FileUID)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.FileGID)
	var flags uint32
	if p.OwnerReads {
		flags = flagOwnerReads
	}
	b.buf = binary.LittleEndian.AppendUint32(b.buf, flags)
}

// Owner sets FileUID and FileGID of the record begun, for who learns them only
// when a file is open.
func (b *Builder) Owner(uid, gid uint32) {
	at := b.begun + ownerAt
	binary.LittleEndian.PutUint32(b.buf[at:], uid)
	binary.LittleEndian.PutUint32(b.buf[at+4:], gid)
}

// OwnerReads sets OwnerReads of the record begun, for who learns it only from its
// files.
func (b *Builder) OwnerReads() {
	binary.LittleEndian.PutUint32(b.buf[b.begun+flagsAt:], flagOwnerReads)
}

// Drop forgets the record begun: its process is gone.
func (b *Builder) Drop() {
	b.buf = b.buf[:b.begun]
	b.missing = 0
	b.records--
}

// Room is at least n spare bytes in which the next file's content can be read,
// so that it need not be copied. It holds until the next call.
func (b *Builder) Room(n int) []byte {
	b.buf = slices.Grow(b.buf, 4+n)
	return b.buf[len(b.buf)+4 : cap(b.buf)]
}

// Put makes the first n bytes of what Room returned the next file.
func (b *Builder) Put(n int) {
	b.next(uint32(n))
	b.buf = b.buf[:len(b.buf)+n]
}

// Add makes content the next file.
func (b *Builder) Add(content []byte) {
	b.next(uint32(len(content)))
	b.buf = append(b.buf, content...)
}

// Fail says that the next file cannot be read, and why.
func (b *Builder) Fail(errno syscall.Errno) {
	if errno == 0 || errno > maxErrno {
		errno = syscall.EIO
	}
	b.next(errnoBit | uint32(errno))
}

func (b *Builder) next(word uint32) {
	if b.missing == 0 {
		b.misused("pid %d has a file too many", b.lastPID)
		return
	}
	b.missing--
	b.buf = binary.LittleEndian.AppendUint32(b.buf, word)
}

// Missing is how many files the record begun still lacks.
func (b *Builder) Missing() int { return b.missing }

// Len is the size of the answer so far, in bytes.
func (b *Builder) Len() int { return len(b.buf) }

// Cap is the memory that the builder holds, in bytes.
func (b *Builder) Cap() int { return cap(b.buf) + cap(b.packed) }

// Skip counts n processes that exist but were not visited.
func (b *Builder) Skip(n int) { b.skipped += n }

// Finish returns the answer, compressed if that is wanted and pays. The answer
// is good until the next Reset.
func (b *Builder) Finish(compress bool) ([]byte, error) {
	if b.missing != 0 {
		b.misused("pid %d lacks files", b.lastPID)
	}
	if b.err != nil {
		return nil, b.err
	}
	body := len(b.buf) - headerFixed
	if body > maxAnswer {
		return nil, syscall.EFBIG
	}
	binary.LittleEndian.PutUint32(b.buf[b.counts:], uint32(b.skipped))
	binary.LittleEndian.PutUint32(b.buf[b.counts+4:], uint32(b.records))
	if compress && body >= CompressFrom {
		if err := b.pack(); err != nil {
			return nil, err
		}
		// Less than an eighth saved is not worth the other side's time.
		if sent := len(b.packed) - headerFixed; sent < body-body/8 {
			putHeader(b.packed, flagCompressed, sent, body)
			return b.packed, nil
		}
	}
	putHeader(b.buf, 0, body, body)
	return b.buf, nil
}

func (b *Builder) pack() error {
	if b.encoder == nil {
		var err error
		b.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(512<<10), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return err
		}
	}
	b.packed = append(b.packed[:0], make([]byte, headerFixed)...)
	b.packed = b.encoder.EncodeAll(b.buf[headerFixed:], b.packed)
	return nil
}

func putHeader(b []byte, flags uint16, sent, decoded int) {
	copy(b, answerMagic)
	binary.LittleEndian.PutUint16(b[4:], formatVersion)
	binary.LittleEndian.PutUint16(b[6:], flags)
	binary.LittleEndian.PutUint32(b[8:], uint32(sent))
	binary.LittleEndian.PutUint32(b[12:], uint32(decoded))
	binary.LittleEndian.PutUint64(b[16:], 0)
}

var errMisused = errors.New("snapshot builder misused")

func (b *Builder) misused(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: "+format, append([]any{errMisused}, args...)...)
	}
}
