// Package sums makes one root file of /proc for a whole cluster out of those of
// its nodes.
//
// A tool on the merged tree reads /proc/stat, /proc/meminfo and their like as if
// the cluster were one machine. What is a quantity adds up; each "cpuN" line of
// stat and each entry of cpuinfo is one node, so that a display of single
// processors (top's "1") shows nodes; what belongs to the reader's own clock
// (btime) is the reader's.
//
// The text comes from leaves and is not to be trusted: a line that has not its
// kernel form is passed over, and a number too large for its field is clamped.
//
// A program that reads a sum twice takes the difference for what happened meanwhile. So
// a node's part must not lack its counters while the node does not answer, nor start
// from zero when it was booted anew: [Counters] remembers them.
//
// All functions are pure and may be called concurrently.
package sums

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

// A Func makes the cluster's file.
type Func func(parts []Part, r Reader) []byte

// Reader is what the reader's own machine contributes.
type Reader struct {
	BootTime int64 // btime of /proc/stat: seconds since the epoch
	Hz       int64 // USER_HZ
}

// For returns what makes the root file of that name, or nil.
func For(name string) Func {
	switch name {
	case "stat":
		return Stat
	case "meminfo":
		return Meminfo
	case "vmstat":
		return Vmstat
	case "loadavg":
		return Loadavg
	case "cpuinfo":
		return Cpuinfo
	}
	return nil
}

// Names are the files that For knows.
func Names() []string { return []string{"cpuinfo", "loadavg", "meminfo", "stat", "vmstat"} }

// add is a+b, clamped.
func add(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// number parses a decimal that fills all of b.
func number(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	return n, err == nil
}

// lines calls f for each line of text, without its newline.
func lines(text []byte, f func(line []byte)) {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		f(line)
		text = rest
	}
}

// table adds up "key value" lines, in the order in which keys first appeared.
type table struct {
	order []string
	sum   map[string]uint64
}

// maxKeys bounds what a leaf can make a table hold; a kernel has about 200.
const maxKeys = 4096

func (t *table) add(key []byte, n uint64) {
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
	t.sum[string(key)] = add(old, n)
}
