package procfs9p

import (
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// Users of the tests, and a group that is nobody's own.
const (
	uidA, uidB, uidC = testUID, 1002, 1003
	gidShared        = 2000
	uidRange         = 100000 // the first of those that stand for a container's
)

var (
	userA  = vfs.Identity{UID: uidA, GID: uidA}
	userB  = vfs.Identity{UID: uidB, GID: uidB}
	nobody = vfs.Identity{UID: vfs.OverflowID, GID: vfs.OverflowID}
)

// readers are those who look, by name.
var readers = map[string]vfs.Identity{
	"root":               vfs.Root,
	"A":                  userA,
	"B":                  userB,
	"A of another group": {UID: uidA, GID: gidShared},
	"A in a group":       {UID: uidA, GID: uidA, Groups: []uint32{gidShared}},
	"C in root's group":  {UID: uidC, GID: uidC, Groups: []uint32{0}},
	"nobody":             nobody,
}

// alike are those to whom the files of the node are what they are to A.
var alike = map[string]bool{"B": true, "A of another group": true, "A in a group": true}

// zoo starts one process of each kind that the kernel treats as its own, all of
// them stopped, and returns their pids by name.
func zoo(t *testing.T) map[string]int {
	t.Helper()
	capable := becomes(userA) // and stays dumpable
	capable.AmbientCaps = []uintptr{unix.CAP_NET_RAW}
	pids := map[string]int{
		"root's": quiet(t, nil), "A's": quiet(t, becomes(userA)), "B's": quiet(t, becomes(userB)),
		"A's in another group": quiet(t, becomes(readers["A of another group"])),
		"A's with a group":     quiet(t, becomes(readers["A in a group"])),
		"setuid":               quietCopy(t, 0o4755, nil),
		"setgid":               quietCopy(t, 0o2755, nil),
		"unreadable":           quietCopy(t, 0o711, nil),
		"with a capability":    quietCopy(t, 0o755, []uint32{1 << unix.CAP_NET_RAW, 0}),
		"container's":          quiet(t, container(0)),
		"container's, no cap":  quiet(t, container(7)),
		"container's, A":       quiet(t, container(uidA)),
		"with an ambient one":  quiet(t, capable),
		"undumpable":           acting(t, "undumpable"),
		"without a leader":     acting(t, "leaderless"),
	}
	pids["A's container's root"], pids["A's container's user"] = ownContainer(t, false), ownContainer(t, true)
	parent := start(t, becomes(userA), "sh", "-c", "exit 3 & exec sleep 1000").Process.Pid
	quieten(t, parent)
	pids["zombie"] = child(t, parent)
	waitFor(t, "zombie", func() bool { return strings.Contains(threadState(pids["zombie"]), "Z") })
	if comm, err := os.ReadFile(procPath(2, "comm")); err == nil && string(comm) == "kthreadd\n" {
		pids["kernel thread"] = 2
	}
	return pids
}

// threadState is the State line of status.
func threadState(pid int) string {
	b, _ := os.ReadFile(procPath(pid, "status"))
	_, tail, _ := strings.Cut(string(b), "State:")
	state, _, _ := strings.Cut(tail, "\n")
	return state
}

func child(t *testing.T, parent int) int {
	t.Helper()
	b, err := os.ReadFile(procPath(parent, "task/"+strconv.Itoa(parent)+"/children"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// quietCopy has A run a copy of sleep of that mode, with these file capabilities
// in effect: capabilities(7).
func quietCopy(t *testing.T, mode uint32, caps []uint32) int {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sleep")
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	if caps != nil {
		const version2, effective = 0x02000000, 1
		value := binary.LittleEndian.AppendUint32(nil, version2|effective)
		for _, word := range caps {
			value = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(value, word), 0)
		}
		if err := unix.Setxattr(path, "security.capability", value, 0); err != nil {
			t.Fatal(err)
		}
	}
	// A cannot walk to it, and need not.
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	cmd := exec.Command("/proc/self/fd/3", "1000")
	cmd.Args[0], cmd.ExtraFiles, cmd.SysProcAttr = "sleep", []*os.File{f}, becomes(userA)
	begin(t, cmd)
	quieten(t, cmd.Process.Pid)
	return cmd.Process.Pid
}

// container is a user namespace that root makes: its users 0 to 999 are a range
// of root's choice, and uidA is A. The process is its user uid, and has its
// capabilities if that is 0.
func container(uid uint32) *syscall.SysProcAttr {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: uidRange, Size: 1000}, {ContainerID: uidA, HostID: uidA, Size: 1}}
	return &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{Uid: uid, Gid: uid},
	}
}

// ownContainer is a process in a user namespace that A makes: of its user 0, who
// is A, with all its capabilities, or of another, who is not, without.
func ownContainer(t *testing.T, other bool) int {
	t.Helper()
	script := "read go; exec sleep 1000"
	if other {
		script = "read go; exec setpriv --reuid 1 --regid 1 --clear-groups sleep 1000"
	}
	cmd := exec.Command("unshare", "--user", "--keep-caps", "sh", "-c", script)
	cmd.SysProcAttr = becomes(userA)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin(t, cmd)
	pid := cmd.Process.Pid
	waitFor(t, "namespace", func() bool {
		b, _ := os.ReadFile(procPath(pid, "cmdline"))
		return strings.HasPrefix(string(b), "sh\x00-c")
	})
	ids := "0 " + strconv.Itoa(uidA) + " 1\n1 " + strconv.Itoa(uidRange) + " 1\n"
	for _, file := range []string{"uid_map", "gid_map"} {
		if err := os.WriteFile(procPath(pid, file), []byte(ids), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	quieten(t, pid)
	return pid
}

// acting has this program act as A, and stops it.
func acting(t *testing.T, what string) int {
	t.Helper()
	cmd := again(context.Background(), what)
	cmd.SysProcAttr = becomes(userA)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin(t, cmd)
	if n, _ := out.Read(make([]byte, 1)); n > 0 {
		t.Fatalf("%s: unexpected output", what)
	}
	pid := cmd.Process.Pid
	if what == "leaderless" {
		waitFor(t, "end of the first thread", func() bool { return strings.Contains(threadState(pid), "Z") })
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	stop(t, pid)
	return pid
}
