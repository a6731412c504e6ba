package procfile

import (
	"bytes"
	"fmt"
	"hash/fnv"
)

// mapsFile is what a process has mapped: see proc_pid_maps(5).
var mapsFile = File{Path: "maps", Guarded: traceable, Rewrite: rewriteMaps}

// rewriteMaps gives the files in /proc/<pid>/maps devices of their machine's own: device and inode
// are what fuser(1) knows a file by, and machines that were installed alike have the same.
//
//	7f52a000-7f52b000 r--p 00000000 fe:00 247702    /usr/lib/x86_64-linux-gnu/libc.so.6
func rewriteMaps(m *Map, dst, src []byte) ([]byte, bool) {
	if m.Machine == 0 {
		return append(dst, src...), true
	}
	for line := range bytes.Lines(src) {
		at := 0
		for range 3 {
			n := bytes.IndexByte(line[at:], ' ')
			if n < 0 {
				return dst, false
			}
			at += n + 1
		}
		head, rest := line[:at], line[at:]
		n := bytes.IndexByte(rest, ' ')
		if n < 0 {
			return dst, false
		}
		dst = append(dst, head...)
		dst = appendDevice(dst, m.Machine, rest[:n])
		dst = append(dst, rest[n:]...)
	}
	return dst, true
}

// ownMajors is the first of the major numbers that stand for other machines: Linux gives none
// above 511 (Documentation/admin-guide/devices.txt), and a number has 12 bits.
const ownMajors = 1 << 11

// appendDevice appends the device of a machine's own, as 0800:12345, hexadecimal. No device is none.
func appendDevice(dst []byte, machine uint32, device []byte) []byte {
	if string(device) == "00:00" {
		return append(dst, device...)
	}
	h := fnv.New32a()
	fmt.Fprint(h, machine, " ")
	_, _ = h.Write(device)
	return fmt.Appendf(dst, "%02x:%02x", ownMajors+machine%ownMajors, h.Sum32()&(1<<20-1))
}
