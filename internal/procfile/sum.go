package procfile

import (
	"bytes"
	"math"
	"strconv"
)

// A Part is one node's file. Parts are given in order of their index.
type Part struct {
	Node  string // the node's name
	Index int    // the node's index; the head node is 0
	Text  []byte
	Hz    int64 // the node's USER_HZ
}

// A SumFunc makes the cluster's file. A line that has not its kernel form is passed
// over, and a number too large for its field is clamped.
type SumFunc func(parts []Part, r Reader) []byte

// Reader is what the reader's own machine contributes to a sum.
type Reader struct {
	BootTime int64 // btime of /proc/stat: seconds since the epoch
	Hz       int64 // USER_HZ
}

// Sum returns what makes the root file of that name for a whole cluster, or nil.
func Sum(name string) SumFunc { return Root.File(name).Sum }

// SumNames are the files that Sum knows, sorted.
func SumNames() []string { return Root.names(func(f *File) bool { return f.Sum != nil }) }

// clampedSum is a+b, clamped.
func clampedSum(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// scaleTicks is that many ticks of one length in those of another.
func scaleTicks(n uint64, from, to int64) uint64 {
	if from == to || from <= 0 || to <= 0 {
		return n
	}
	whole := n / uint64(from)
	if whole > math.MaxUint64/uint64(to)-1 {
		return math.MaxUint64
	}
	return whole*uint64(to) + n%uint64(from)*uint64(to)/uint64(from)
}

// quantity parses a decimal that fills all of b.
func quantity(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	return n, err == nil
}

// eachLine calls f for each line of text, without its newline.
func eachLine(text []byte, f func(line []byte)) {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, newline)
		f(line)
		text = rest
	}
}

// appendRow appends a line of a name and numbers.
func appendRow(out []byte, name string, columns []uint64) []byte {
	out = append(out, name...)
	for _, n := range columns {
		out = strconv.AppendUint(append(out, ' '), n, 10)
	}
	return append(out, '\n')
}

// A tally adds up "key value" lines, in the order in which keys first appeared.
type tally struct {
	order []string
	sum   map[string]uint64
}

// maxKeys bounds what a leaf can make a tally hold; a kernel has about 200.
const maxKeys = 4096

func (t *tally) add(key []byte, n uint64) {
	if t.sum == nil {
		t.sum = make(map[string]uint64)
	}
	old, ok := t.sum[string(key)]
	if !ok {
		if len(t.order) >= maxKeys {
			return
		}
		t.order = append(t.order, string(key))
	}
	t.sum[string(key)] = clampedSum(old, n)
}
