package ninep

import "sync"

// Buffers are lent by need and given back when a connection has nothing in
// them, so that an idle connection holds none.

// bufferSizes are the sizes lent, in bytes. The first takes a batch of small
// messages in one read(2); the last but one any frame, the last one behind as much as
// may wait to be written.
var bufferSizes = [...]int{64 << 10, 256 << 10, MaxMsize, maxBuffer}

const maxBuffer = pendingBytes + MaxMsize + maxFixed

type buffer struct {
	b    []byte
	size int // index into bufferSizes
}

// buffers is a store of buffers that are not in use.
type buffers struct{ free [len(bufferSizes)]sync.Pool }

// spare is that of all connections of the process, of which most are idle.
var spare buffers

// get lends a buffer of at least n bytes, which is at most maxBuffer.
func (p *buffers) get(n int) *buffer {
	size := sizeFor(n)
	if b, ok := p.free[size].Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, bufferSizes[size]), size: size}
}

// sizeFor is the index of the smallest size for n bytes.
func sizeFor(n int) int {
	size := 0
	for bufferSizes[size] < n {
		size++
	}
	return size
}

// put takes a buffer back; nil is nothing.
func (p *buffers) put(b *buffer) {
	if b != nil {
		p.free[b.size].Put(b)
	}
}
