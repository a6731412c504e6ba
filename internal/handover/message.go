package handover

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"syscall"
	"time"
)

// Magic is how a connection begins that is an offer. No 9P conversation begins so: it would
// be a frame of 1.9 GB.
const Magic = "aggrfs-mount/1\n"

// The kinds of messages.
const (
	kindOffer  = 'o' // an Offer
	kindReady  = 'r' // a Ready
	kindError  = 'e' // a failure
	kindInit   = 'i' // the kernel's INIT request
	kindNotify = 'n' // a number, 64 bits, and a notification
	kindDone   = 'd' // a number, 64 bits, and an errno, 32 bits
	kindPing   = 'p'
	kindPong   = 'P' // a request's number, 64 bits; may be left out
)

const (
	headSize   = 5
	numberSize = 8
	doneSize   = numberSize + 4
	// maxOffer and maxSmall bound what a command may send, in bytes; maxMessage is what it takes,
	// several times the longest notification, which has a name in it.
	maxOffer   = 64 << 10
	maxSmall   = 64
	maxMessage = 1 << 20
)

// An Offer is how a command wants its mount to be served.
type Offer struct {
	Path   string // the root within the merged tree, as an attach has it; "" is all of it
	Native string // the native procfs as the mount's readers see it, an absolute path
	// Inside is the name in the tree's root on which the command mounts the native procfs as well,
	// once the tree is served; "" is that it does not.
	Inside string `json:",omitempty"`

	// AllUsers: everybody may enter the mount, and each sees their own tree. Only root can.
	AllUsers bool `json:",omitempty"`
	// Prefetched: the tree has only what sweeps bring.
	Prefetched bool `json:",omitempty"`
	// Whole: each file is read when it is looked up, see fusefs.Config.
	Whole bool `json:",omitempty"`
	// As is whose tree it is; nil is that of who is at the other end of the socket. Only root
	// can ask for another's.
	As *Identity `json:",omitempty"`
	// CPUs are where requests are answered; none is anywhere.
	CPUs []int `json:",omitempty"`

	// Generation is how many daemons have served the device before this one, and Init the
	// INIT request that the kernel sent to the first.
	Generation uint32 `json:",omitempty"`
	Init       []byte `json:",omitempty"`
}

// An Identity is a user of this machine.
type Identity struct {
	UID, GID uint32
	Groups   []uint32 `json:",omitempty"`
}

// Ready is the daemon's word that it serves a device.
type Ready struct {
	// Patience is how long a request may take.
	Patience time.Duration
}

// A failure is why the daemon does not.
type failure struct {
	Errno syscall.Errno `json:",omitempty"`
	Text  string
}

// A Refusal is that the daemon does not serve a device, in its words.
type Refusal struct {
	Errno syscall.Errno // 0 is that it has named none
	Text  string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

// Unwrap is the errno.
func (r *Refusal) Unwrap() error {
	if r.Errno == 0 {
		return nil
	}
	return r.Errno
}

// frame is a message as it is sent.
func frame(kind byte, parts ...[]byte) []byte {
	n := 1
	for _, p := range parts {
		n += len(p)
	}
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+n), uint32(n))
	b = append(b, kind)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// frameJSON is a message whose body is v.
func frameJSON(kind byte, v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // of types of this package
	}
	return frame(kind, body)
}

func number(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

// readMessage reads one message of at most limit bytes.
func readMessage(r io.Reader, limit int) (kind byte, body []byte, err error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n < 1 || n > uint32(limit) {
		return 0, nil, fmt.Errorf("a message of %d bytes, and at most %d are taken", n, limit)
	}
	body = make([]byte, n-1)
	_, err = io.ReadFull(r, body)
	return head[4], body, err
}
