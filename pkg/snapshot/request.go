package snapshot

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const (
	requestMagic  = "agrq"
	formatVersion = 3
)

// Request says what a front end wants of a leaf.
type Request struct {
	// Files are names relative to a process directory, each once: "stat",
	// "attr/current". There is at least one, and none where figures alone are wanted.
	Files []string
	// Held is the generation that the front end holds of the same files; zero is
	// none. The answer is what changed since, or the whole if the leaf cannot tell.
	Held uint64
	// Remember asks the leaf to keep what it answers for a while, so that the next
	// answer can be what changed since.
	Remember bool
	// PID is the process that is asked for alone; 0 is all. It is for who reads ahead, and passed
	// over by a leaf whose answers are shared.
	PID int32
	// MaxAge is how old the answer may be: a leaf that swept not longer ago than
	// that, for whomever, need not do it again.
	MaxAge time.Duration
	// Figures asks for the node's own figures as well. Only a leaf of whose facts the clock is
	// known (Facts.Monotonic) understands that. Known is the number of those held, 0 for none, to
	// which the answer may be the difference.
	Figures bool
	Known   uint64
}

// Check says what is wrong with r, if anything.
func (r Request) Check() error {
	if len(r.Files) == 0 && !r.Figures || len(r.Files) > MaxFiles {
		return fmt.Errorf("snapshot request: %d files, must be 1 to %d", len(r.Files), MaxFiles)
	}
	for i, f := range r.Files {
		if !validFile(f) {
			return fmt.Errorf("snapshot request: %q is not a name relative to a process directory", f)
		}
		if slices.Contains(r.Files[:i], f) {
			return fmt.Errorf("snapshot request: %q is named twice", f)
		}
	}
	if r.PID < 0 {
		return fmt.Errorf("snapshot request: pid %d", r.PID)
	}
	if r.MaxAge < 0 {
		return fmt.Errorf("snapshot request: an age of %v", r.MaxAge)
	}
	return nil
}

func validFile(f string) bool {
	if len(f) > vfs.MaxName {
		return false
	}
	for elem := range strings.SplitSeq(f, "/") {
		if !vfs.ValidName(elem) {
			return false
		}
	}
	return true
}

// Append appends r in wire form to b. r must be as Check wants it.
func (r Request) Append(b []byte) []byte {
	start := len(b)
	var flags uint16
	if r.Remember {
		flags |= flagRemember
	}
	if r.Figures {
		flags |= flagFiguresToo
	}
	if r.PID != 0 {
		flags |= flagAlone
	}
	b = append(b, requestMagic...)
	b = binary.LittleEndian.AppendUint16(b, formatVersion)
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, r.Held)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.MaxAge))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.Files)))
	b = binary.LittleEndian.AppendUint16(b, 0)
	for _, f := range r.Files {
		b = appendStr(b, f)
	}
	if r.Figures {
		b = binary.LittleEndian.AppendUint64(b, r.Known)
	}
	if r.PID != 0 {
		b = binary.LittleEndian.AppendUint32(b, uint32(r.PID))
	}
	binary.LittleEndian.PutUint32(b[start+8:], uint32(len(b)-start))
	return b
}

// DecodeRequest reads what Append wrote.
func DecodeRequest(b []byte) (Request, error) {
	var req Request
	r := &reader{what: "request", b: b}
	if len(b) > MaxRequest {
		r.fail("%d bytes, at most %d are allowed", len(b), MaxRequest)
	}
	if string(r.take(4)) != requestMagic {
		r.fail("not a snapshot request")
	}
	if v := r.u16(); v != formatVersion {
		r.fail("version %d, this side speaks %d", v, formatVersion)
	}
	flags := r.u16()
	if flags&^(flagCompress|flagRemember|flagFiguresToo|flagAlone) != 0 {
		r.fail("unknown flags %#x", flags)
	}
	req.Remember, req.Figures = flags&flagRemember != 0, flags&flagFiguresToo != 0
	if n := r.u32(); int64(n) != int64(len(b)) {
		r.fail("says that it is %d bytes long and is %d", n, len(b))
	}
	req.Held = r.u64()
	age := r.u64()
	if age > math.MaxInt64 {
		r.fail("an age of %d ns", age)
	}
	req.MaxAge = time.Duration(age)
	n := r.u16()
	if z := r.u16(); z != 0 {
		r.fail("reserved field is %d", z)
	}
	if n == 0 && !req.Figures || n > MaxFiles {
		r.fail("%d files, must be 1 to %d", n, MaxFiles)
	}
	for i := 0; i < n && r.err == nil; i++ {
		req.Files = append(req.Files, r.str())
	}
	if req.Figures {
		req.Known = r.u64()
	}
	if flags&flagAlone != 0 {
		if req.PID = int32(r.u32()); req.PID <= 0 && r.err == nil {
			r.fail("pid %d", req.PID)
		}
	}
	if r.err == nil && r.off != len(b) {
		r.fail("%d bytes too many", len(b)-r.off)
	}
	if r.err != nil {
		return Request{}, r.err
	}
	if err := req.Check(); err != nil {
		return Request{}, err
	}
	return req, nil
}
