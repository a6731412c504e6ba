package cgroup

import (
	"strconv"
	"strings"
)

// rootSlice is the slice of what is in no other, see systemd.special(7).
const rootSlice = "-.slice"

// systemd fills in slice, unit, session and owner as libsystemd does (cgroup-util.c):
//
//   - slices lead the path, and the last of them is the process's;
//   - the element after them is its unit, if that is the name of one;
//   - a session's unit is session-<id>.scope, an owner's slice user-<uid>.slice;
//   - below a user's service manager, user@<uid>.service, or a session, the rest of the
//     path is read in the same way and gives the user unit.
func (p *Place) systemd(at *path) {
	n := at.slices(0)
	if n > 0 {
		p.Slice = unescapeName(at.elems[n-1])
	}
	if uid, ok := strings.CutPrefix(strings.TrimSuffix(p.Slice, ".slice"), "user-"); ok {
		p.OwnerUID, p.HasOwner = parseUID(uid)
	}
	p.Unit = unit(at.at(n))
	if p.Unit == "" {
		return
	}
	p.Session = session(p.Unit)
	if !at.delegates(n) {
		return
	}
	p.UserUnit = unit(at.at(at.slices(n + 1)))
	if p.HasOwner && managerOf(p.Unit, p.OwnerUID) {
		p.UserJob = fluxJob(p.UserUnit)
	}
}

// slices is the index of the first element from i on that is no slice.
func (p *path) slices(i int) int {
	for i < len(p.elems) && isSlice(p.elems[i]) {
		i++
	}
	return i
}

// delegates reports whether what is below element i is a user's to name: it is a user's
// service manager, or a session, which some distributions give to its user.
func (p *path) delegates(i int) bool {
	if session(p.at(i)) != "" {
		return true
	}
	_, ok := parseUID(cutBoth(p.at(i), "user@", ".service"))
	return ok
}

// managerOf reports whether a unit is the service manager of a user.
func managerOf(unit string, uid uint32) bool {
	return unit == "user@"+strconv.FormatUint(uint64(uid), 10)+".service"
}

// session is the session that a unit is, see pam_systemd(8).
func session(unit string) string {
	id := cutBoth(unit, "session-", ".scope")
	for i := range len(id) {
		if !isAlnum(id[i]) {
			return ""
		}
	}
	return id
}

// isSlice reports whether an element is a slice that systemd's parser passes over.
func isSlice(name string) bool {
	name = unescapeName(name)
	return strings.HasSuffix(name, ".slice") && len(name) > len(".slice") && isUnit(name) && !strings.Contains(name, "@")
}

// unit is the unit that an element names, empty if it names none or a slice.
func unit(name string) string {
	if len(name) < 3 || !isUnit(unescapeName(name)) || strings.HasSuffix(name, ".slice") {
		return ""
	}
	return unescapeName(name)
}

// unescapeName takes off the underscore that systemd puts before a name that the kernel
// could use itself: "_cpu.service".
func unescapeName(name string) string { return strings.TrimPrefix(name, "_") }

// unitTypes are the endings of units, see systemd.unit(5).
var unitTypes = map[string]bool{
	"service": true, "socket": true, "device": true, "mount": true, "automount": true, "swap": true,
	"target": true, "path": true, "timer": true, "slice": true, "scope": true,
}

// isUnit reports whether a name is a unit's, plain or an instance, but no template.
func isUnit(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 || len(name) > maxName || !unitTypes[name[dot+1:]] {
		return false
	}
	for i := range dot {
		if !isAlnum(name[i]) && strings.IndexByte(":-_.\\@", name[i]) < 0 {
			return false
		}
	}
	at := strings.IndexByte(name, '@')
	return at != 0 && at != dot-1
}

// unescape undoes systemd-escape(1): "\x2d" is a dash.
func unescape(name string) string {
	if !strings.Contains(name, `\x`) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if i+3 < len(name) && name[i] == '\\' && name[i+1] == 'x' {
			if c, err := strconv.ParseUint(name[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// parseUID reads a user's number as systemd writes it; the overflow numbers are none.
func parseUID(s string) (uint32, bool) {
	if s == "" || number(s) != s {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<16-1 || n == 1<<32-1 {
		return 0, false
	}
	return uint32(n), true
}

// cutBoth is what is between a prefix and a suffix, empty if they are not there.
func cutBoth(s, prefix, suffix string) string {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return ""
	}
	if s, ok = strings.CutSuffix(s, suffix); !ok {
		return ""
	}
	return s
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlnum(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
