package procfs9p

import (
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"golang.org/x/sys/unix"
)

// The leaf's own process is where the kernel cannot be asked: it lets the threads
// of one process look at each other, whatever their rights (same_thread_group in
// __ptrace_may_access, kernel/ptrace.c, and in proc_fd_permission, fs/proc/fd.c),
// so what is lent to a thread of the leaf changes nothing there. To all but the
// superuser that process is shown as the kernel shows it to those without ptrace
// access. They never have it: the leaf has capabilities, and once it has lent a
// thread's rights it is not dumpable (commit_creds in kernel/cred.c).

// use is what an operation does with a node.
type use uint8

const (
	lookUp   use = iota // it exists, and what stat(2) says
	readDir             // what is in it
	openFile            // its content
	readLink            // its text
)

// ownRefuses is why the requester may not do that with n, if n is the leaf's own
// process proc or in it.
func (n node) ownRefuses(proc uint64, use use) error {
	if !n.isOwn(proc) {
		return nil
	}
	options, err := n.s.leaf.options()
	if err != nil {
		return err
	}
	if err := options.Refuse(&n.s.who, n.rel == "" && use == lookUp); err != nil {
		return err
	}
	inside := procfile.InThread(n.rel)
	first, _, below := strings.Cut(inside, "/")
	may := false
	switch use {
	case lookUp:
		may = !below || first != "fd" && first != "fdinfo" && first != "map_files"
	case readDir:
		may = inside == "" || inside == "attr" || first == "task" || first == "net"
	case openFile:
		may = procfile.Process.File(inside).Public || below && (first == "attr" || first == "net")
	}
	switch {
	case may:
		return nil
	case inside == "timerslack_ns":
		return syscall.EPERM
	}
	return syscall.EACCES
}

// ownMasked is what those without ptrace access see of a file of the leaf's
// process that the leaf sees as content.
func ownMasked(rel string, content []byte) ([]byte, error) {
	f := procfile.Process.File(rel)
	if f.Mask == nil {
		return content, nil
	}
	masked, ok := f.Mask(nil, content)
	if !ok {
		return nil, syscall.EACCES
	}
	return masked, nil
}

// isOwn reports whether proc, whose pid n has, is the leaf's process and not to be
// shown as the kernel shows it to the leaf.
func (n node) isOwn(proc uint64) bool {
	l := n.s.leaf
	return n.pid != 0 && l.self != 0 && !n.s.who.IsRoot() && (n.pid == l.self || l.procs.isOwn(proc))
}

// ownPID is the pid that this process has in the procfs open as root; 0 where
// it is not there, as in another pid namespace.
func ownPID(root int) (int32, error) {
	var buf [16]byte
	n, err := unix.Readlinkat(root, "self", buf[:])
	if isGone(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	pid, _ := parsePID(buf[:n])
	return pid, nil
}
