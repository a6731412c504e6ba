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
