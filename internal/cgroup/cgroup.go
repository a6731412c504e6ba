// Package cgroup reads what /proc/<pid>/cgroup says of a process: its job, its systemd
// unit, its container.
//
// # Model
//
// The file has a line per hierarchy, "number:controllers:path" (cgroups(7)): one for
// cgroup v2, whose number is 0 and which has no controllers, one for each hierarchy of
// cgroup v1, or both. Who makes cgroups names them in a way of its own: systemd by units,
// Slurm by jobs and steps, docker by containers. There is no other place than the name
// where a process's cgroup says what it is part of.
//
// # Whose word a name is
//
// Cgroups are directories, and a directory's owner names what is below it. systemd gives
// every user a subtree of their own, user@1001.service, in which user 1001 makes cgroups
// called as they please: also "slurmstepd.scope/job_42". So a name counts only where root
// alone can have put it:
//
//   - a job, only at the place where its scheduler puts it, counted from the root, and
//     only the outermost;
//   - a container or pod, wherever it is, but the outermost only, as root of a container
//     may own what is below it. [Place.Delegated] reports that a user may have named it;
//   - Flux keeps the jobs of all users below the service manager of its own user; see
//     [Place.UserJob].
//
// # Cgroup namespaces
//
// A process outside of the reader's cgroup namespace has a path that begins with "/..".
// These elements are passed over: what follows is read as if it began at the root.
//
// The text comes from leaves: it may be of any length and hold anything. No text makes
// the functions fail, and the names that they return hold only letters, digits and
// ".-_:@\[]+", so that they can be printed as they are.
package cgroup

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// Limits of what is looked at: the kernel's are 4096 bytes for a path and a hierarchy for
// each of its dozen controllers.
const (
	maxText  = 64 << 10 // bytes of a file
	maxLine  = 4200     // bytes of a line; a longer one is passed over
	maxPaths = 32       // different paths of a file
	maxDepth = 64       // elements of a path; the rest is not looked at
	maxName  = 255      // bytes of an element, NAME_MAX
)

// A Place is where in its node's cgroups a process is. What is not known is empty.
type Place struct {
	// Scheduler is whose job it is: "slurm", "pbs", "torque" or "lsf".
	Scheduler string
	// Job is the job as its scheduler's commands call it: "42", "42.server" (PBS),
	// "42[7].server" (an array of PBS's). Since 26.05 Slurm names the directory by the
	// job's SLUID, "sEKNKTV3WPV500", from which its number cannot be derived; squeue
	// knows both.
	Job string
	// Step is the job's step: "0", "0+1" (of a heterogeneous job), "batch", "extern",
	// "interactive"; Task the task of the step: "0", "special". Slurm alone has them.
	Step, Task string
	// UserJob is a job by the word of the user OwnerUID: "fPY66riwfnP" of Flux, where
	// OwnerUID is Flux's own user. Every user can have such a name made.
	UserJob string

	// Slice, Unit, UserUnit and Session are what sd_pid_get_slice(3) and its like say:
	// Slice is "-.slice" for a process in none, Session "2" or "c1".
	Slice, Unit, UserUnit, Session string
	// OwnerUID is the user whose slice it is; HasOwner reports that there is one.
	OwnerUID uint32
	HasOwner bool

	// Container is the container's id, or its name where it has no other; Pod is the
	// uid of its Kubernetes pod. Runtime is what made the container, empty if the path
	// does not say: "docker", "containerd", "crio", "podman", "lxc", "nspawn" (any
	// machine of systemd-machined's that is not libvirt's) or "libvirt".
	Container, Runtime, Pod string
	// Delegated reports that Container, Runtime and Pod are the word of the user who
	// runs the process: they stand below what systemd or Slurm let that user have.
	Delegated bool
}

// Parse reads the content of /proc/<pid>/cgroup: of cgroup v1, v2, or both. It may be
// called concurrently.
func Parse(text []byte) Place {
	var p Place
	var buf [4]path // of which most files have no more
	paths := split(text[:min(len(text), maxText)], buf[:0])
	p.Slice = rootSlice
	if at := systemdPath(paths); at != nil {
		p.systemd(at)
		p.findContainer(at)
	}
	for i := range paths {
		p.findJob(&paths[i])
		if p.Container == "" && p.Pod == "" {
			p.findContainer(&paths[i])
		}
	}
	return p
}

// A path is the path of one or more hierarchies.
type path struct {
	text    string   // as it stands in the file
	unified bool     // it is of cgroup v2
	systemd bool     // it is of the hierarchy name=systemd of cgroup v1
	elems   []string // without empty ones, ".." at the start, and " (deleted)" at the end
}

// split appends the paths in text that lead anywhere, each once.
func split(text []byte, paths []path) []path {
	for line := range bytes.Lines(text) {
		if len(line) > maxLine {
			continue
		}
		number, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(":"))
		controllers, name, _ := bytes.Cut(rest, []byte(":"))
		if len(name) < 2 || name[0] != '/' {
			continue
		}
		i := slices.IndexFunc(paths, func(p path) bool { return p.text == string(name) })
		if i < 0 {
			if len(paths) == maxPaths {
				continue
			}
			i, paths = len(paths), append(paths, path{text: string(name)})
			paths[i].elems = elements(strings.TrimSuffix(paths[i].text, " (deleted)"))
		}
		if len(controllers) == 0 && string(number) == "0" {
			paths[i].unified = true
		}
		if string(controllers) == "name=systemd" {
			paths[i].systemd = true
		}
	}
	return paths
}

// elements splits a path.
func elements(path string) []string {
	elems := make([]string, 0, 8)
	for e := range strings.SplitSeq(path, "/") {
		if e == "" || e == ".." && len(elems) == 0 {
			continue
		}
		if len(elems) == maxDepth || len(e) > maxName {
			break
		}
		elems = append(elems, e)
	}
	return elems
}

// at is element i, empty if there is none.
func (p *path) at(i int) string {
	if i < len(p.elems) {
		return p.elems[i]
	}
	return ""
}

// systemdPath is the path in which systemd keeps its units: cgroup v2's, where that leads
// anywhere, as it does not on a machine where v2 is mounted but not used.
func systemdPath(paths []path) *path {
	var v1 *path
	for i := range paths {
		switch {
		case paths[i].unified && len(paths[i].elems) > 0:
			return &paths[i]
		case paths[i].systemd:
			v1 = &paths[i]
		}
	}
	return v1
}

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
