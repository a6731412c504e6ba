package cgroup

import (
	"bytes"
	"fmt"
)

// AppendSlice appends the name of a slice that stands for a machine of that name:
// "n1.slice".
//
// systemd's parser passes over slices at the start of a path whatever they are called: it
// looks at the characters only. So a dash, which to the service manager makes gpu-1.slice
// a child of gpu.slice, stays as it is. What cannot be in a unit's name is escaped as by
// systemd-escape(1), and an underscore at the start gets another one, as the parser takes
// one off.
func AppendSlice(dst []byte, machine string) []byte {
	if machine != "" && machine[0] == '_' {
		dst = append(dst, '_')
	}
	for i := range len(machine) {
		if c := machine[i]; isAlnum(c) || c == '-' || c == '_' || c == ':' || c == '.' && i > 0 {
			dst = append(dst, c)
		} else {
			dst = fmt.Appendf(dst, `\x%02x`, c)
		}
	}
	return append(dst, ".slice"...)
}

// AppendBelow appends a line of /proc/<pid>/cgroup, "number:controllers:path" without its
// newline, with the path put below a slice, such that libsystemd reads the same slice,
// unit, session and owner in it as before. A line of another form is appended as it is.
//
//   - A path that begins with "/..", out of the cgroup namespace of who read it, would
//     lead out of the slice: these elements are left out.
//   - A process in no slice would seem to be in the new one: in the hierarchy that systemd
//     reads, its path gets the name of the root slice: "/n1.slice/-.slice/init.scope".
func AppendBelow(dst []byte, slice string, line []byte) []byte {
	number, rest, _ := bytes.Cut(line, []byte(":"))
	controllers, path, _ := bytes.Cut(rest, []byte(":"))
	if len(path) == 0 || path[0] != '/' {
		return append(dst, line...)
	}
	dst = append(dst, line[:len(line)-len(path)]...)
	for bytes.HasPrefix(path, []byte("/..")) && (len(path) == 3 || path[3] == '/') {
		path = path[3:]
	}
	dst = append(append(dst, '/'), slice...)
	read := string(controllers) == "name=systemd" || len(controllers) == 0 && string(number) == "0"
	if read && !startsWithSlice(path) {
		dst = append(append(dst, '/'), rootSlice...)
	}
	if string(path) != "/" {
		dst = append(dst, path...)
	}
	return dst
}

// startsWithSlice reports whether the first element of a path is a slice.
func startsWithSlice(path []byte) bool {
	path = bytes.TrimLeft(bytes.TrimSuffix(path, []byte(" (deleted)")), "/")
	first, _, _ := bytes.Cut(path, []byte("/"))
	return len(first) <= maxName && isSlice(string(first))
}
