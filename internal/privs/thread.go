package privs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// rights are what a thread may, as its status file tells; see proc(5).
type rights struct {
	permitted, effective, inheritable, bounding, ambient Set
	noNewPrivs                                           Set // 0 or 1
}

// lines are the rights' names in a status file.
func (r *rights) lines() map[string]*Set {
	return map[string]*Set{
		"CapPrm": &r.permitted, "CapEff": &r.effective, "CapInh": &r.inheritable,
		"CapBnd": &r.bounding, "CapAmb": &r.ambient, "NoNewPrivs": &r.noNewPrivs,
	}
}

// readRights reads a status file.
func readRights(path string) (r rights, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	fields, found := r.lines(), 0
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		field, ours := fields[key]
		if !ours {
			continue
		}
		number, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return r, fmt.Errorf("%s: %s: %w", path, key, err)
		}
		*field = Set(number)
		found++
	}
	if found != len(fields) {
		return r, fmt.Errorf("%s shows only %d of the %d rights of a thread: is this a procfs of Linux 4.10 or later?", path, found, len(fields))
	}
	return r, nil
}

// verify makes sure that every thread in the directory of a process's threads
// has exactly these rights.
func verify(tasks string, want rights) error {
	entries, err := os.ReadDir(tasks)
	if err != nil {
		return err
	}
	seen := 0
	for _, e := range entries {
		got, err := readRights(filepath.Join(tasks, e.Name(), "status"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // a thread that has ended
		}
		if err != nil {
			return err
		}
		seen++
		if got != want {
			return fmt.Errorf("thread %s was to have {%v} and has {%v}", e.Name(), want, got)
		}
	}
	if seen == 0 {
		return fmt.Errorf("%s shows no thread", tasks)
	}
	return nil
}

// String is for messages: hexadecimal as in a status file, and the effective
// set by names.
func (r rights) String() string {
	return fmt.Sprintf("permitted %x, effective %x (%v), inheritable %x, bounding %x, ambient %x, no_new_privs %d",
		uint64(r.permitted), uint64(r.effective), r.effective, uint64(r.inheritable), uint64(r.bounding), uint64(r.ambient), r.noNewPrivs)
}

// threadStatus shows the rights of the thread that reads it.
const threadStatus = "/proc/thread-self/status"

// DropThread changes the ids of the calling thread, to which the goroutine must be
// locked, by calling change, and leaves the thread no capability at all, and nothing
// that an execve(2) could give it one by: the inheritable and the ambient set are empty, the bounding set is where CAP_SETPCAP
// allows, and no_new_privs is set, after which no set-user-ID program, no file
// capability and no user id 0 gives more than there was before (prctl(2)). Securebits
// decide about rights that are gained or kept by a change of ids; with no_new_privs
// and nothing permitted there is nothing that they could give. It then looks at what
// the kernel says of the thread: anything else is an error.
//
// It is for a process that is about to become another program. Other threads keep
// what they have.
func DropThread(change func() error) error {
	before, err := readRights(threadStatus)
	if err != nil {
		return err
	}
	want := rights{noNewPrivs: 1, bounding: before.bounding}
	if before.effective.Has(unix.CAP_SETPCAP) {
		want.bounding = 0
	}
	if err := dropBounding(false, before.bounding&^want.bounding); err != nil {
		return err
	}
	if err := change(); err != nil { // which may cost CAP_SETPCAP
		return err
	}
	if err := limit(false, 0); err != nil {
		return err
	}
	after, err := readRights(threadStatus)
	if err == nil && after != want {
		err = errors.New("the thread was to have no rights and has {" + after.String() + "}")
	}
	return err
}

// A Set is a set of capabilities: bit n is the capability of number n, as in
// <linux/capability.h> and in the Cap lines of /proc/<pid>/status.
type Set uint64

// Has reports whether the capability of that number is in the set.
func (s Set) Has(number int) bool { return s>>number&1 == 1 }

// names are the capabilities' names without "CAP_", by number; see
// capabilities(7).
var names = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
	SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD
	LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
	PERFMON BPF CHECKPOINT_RESTORE`)

// name is that of one capability.
func name(number int) string {
	if number < len(names) {
		return "CAP_" + names[number]
	}
	return fmt.Sprintf("capability %d", number) // of a kernel newer than this
}

// String lists the names, as they stand in a unit file.
func (s Set) String() string {
	var all []string
	for n := range 64 {
		if s.Has(n) {
			all = append(all, name(n))
		}
	}
	if all == nil {
		return "no capability"
	}
	return strings.Join(all, " ")
}
