package procfs9p

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/actor"
	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// actNatively does what lines on the standard input say, with the calls that a program makes, and
// prints the number of the error of each: "PID VERB ARG...".
func actNatively() error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Fields(in.Text())
		pid, err := strconv.Atoi(words[0])
		if err != nil {
			return err
		}
		fmt.Println(int(vfs.Errno(nativeAct(pid, words[1:]))))
	}
	return in.Err()
}

func nativeAct(pid int, words []string) error {
	arg := func(i int) int {
		n, err := strconv.Atoi(words[i])
		if err != nil {
			panic(err)
		}
		return n
	}
	errnoOf := func(errno syscall.Errno) error {
		if errno == 0 {
			return nil
		}
		return errno
	}
	switch words[0] {
	case "signal":
		return syscall.Kill(pid, syscall.Signal(arg(1)))
	case "probe":
		return syscall.Kill(pid, 0)
	case "nice":
		return syscall.Setpriority(syscall.PRIO_PROCESS, pid, arg(1))
	case "get-nice":
		_, err := syscall.Getpriority(syscall.PRIO_PROCESS, pid)
		return err
	case "affinity":
		var set unix.CPUSet
		set.Set(arg(1))
		return unix.SchedSetaffinity(pid, &set)
	case "get-affinity":
		return unix.SchedGetaffinity(pid, new(unix.CPUSet))
	case "ioprio":
		class, level, _ := strings.Cut(words[1], ":")
		c, _ := strconv.Atoi(class)
		l, _ := strconv.Atoi(level)
		_, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_SET, 1, uintptr(pid), uintptr(c<<13|l))
		return errnoOf(errno)
	case "get-ioprio":
		_, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_GET, 1, uintptr(pid), 0)
		return errnoOf(errno)
	case "rlimit":
		soft, hard, _ := strings.Cut(words[2], ":")
		s, _ := strconv.ParseUint(soft, 10, 64)
		h, _ := strconv.ParseUint(hard, 10, 64)
		return unix.Prlimit(pid, arg(1), &unix.Rlimit{Cur: s, Max: h}, nil)
	case "get-rlimit":
		return unix.Prlimit(pid, arg(1), nil, new(unix.Rlimit))
	case "getsid":
		_, err := unix.Getsid(pid)
		return err
	}
	return errors.New("no such act")
}

// newControl is a leaf that lets processes be acted on.
func newControl(t *testing.T, cfg Config, ownOnly bool) *Leaf {
	t.Helper()
	actors, err := actor.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := actors.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg.Control = &Control{Actors: actors, OwnOnly: ownOnly}
	return newLeaf(t, cfg)
}

// acts is what comes of a batch, as who.
func actsOn(t *testing.T, l *Leaf, who vfs.Identity, limit control.Limit, lines ...string) []control.Answer {
	t.Helper()
	h, _, err := vfs.OpenPath(t.Context(), attach(t, l, who, control.Tree), control.File)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	batch := control.AppendHeader(nil, limit)
	for i, line := range lines {
		batch = fmt.Appendf(batch, "%d %s\n", i, line)
	}
	if _, err := h.(vfs.Writer).WriteAt(t.Context(), batch, 0); err != nil {
		t.Fatal(err)
	}
	text, err := vfs.ReadAll(t.Context(), h, control.MaxAnswer)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("\n"))
	all, err := control.ParseAnswers(text)
	if err != nil || len(all) != len(lines) {
		t.Fatalf("%d answers to %d requests, %v: %s", len(all), len(lines), err, text)
	}
	return all
}

// target names a process to the leaf.
func target(t *testing.T, l *Leaf, pid int) string {
	t.Helper()
	id, err := l.procs.idOf(int32(pid), strconv.Itoa(pid))
	if err != nil {
		return fmt.Sprintf("%d@1", pid)
	}
	return fmt.Sprintf("%d@%d", pid, id)
}

// TestActionRights has each kind of requester do everything to each kind of process, natively to
// one set of processes and through a leaf to another: what comes of it is the same.
func TestActionRights(t *testing.T) {
	native, through := zoo(t), zoo(t)
	l := newControl(t, Config{}, false)
	// In the order of what they may, so that what one may kill is alive for those before.
	order := slices.SortedFunc(maps.Keys(readers), func(a, b string) int { return int(readers[b].UID) - int(readers[a].UID) })
	actions := []string{
		"probe", "signal 0", "get-nice", "get-affinity", "get-ioprio", "get-rlimit 7", "getsid",
		"nice 5", "nice 3", "nice -5", "nice 19", "affinity 0", "affinity 4000", "ioprio 3:0", "ioprio 2:7", "ioprio 1:0", "ioprio 2:4", "ioprio 7:0",
		"rlimit 7 100:200", "rlimit 7 100:100000", "rlimit 99 1:1",
		"signal 65", "signal 1000000", "signal -1", "signal 64", "signal 18", "signal 19", "signal 15", "signal 9",
	}
	const ended = 1 << 22 // no process has it
	native["nobody"], through["nobody"] = ended, ended
	harmless := func(action string) bool {
		return strings.HasPrefix(action, "get") || action == "probe" || action == "signal 0" || action == "signal 65"
	}
	for name, pid := range map[string]int{"pid 1": 1, "the leaf": os.Getpid(), "the template": templateOf(t, l)} {
		native[name], through[name] = pid, pid
	}
	differences := 0
	done, refused := 0, 0
	for _, who := range order {
		id := readers[who]
		cmd := again(context.Background(), "actions")
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		if !id.IsRoot() {
			cmd.SysProcAttr = becomes(id)
		}
		cmd.SysProcAttr.Setsid = true // as an actor has a session of its own
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		begin(t, cmd)
		answers := bufio.NewReader(out)
		for _, kind := range slices.Sorted(maps.Keys(native)) {
			var lines, asked []string
			for _, action := range actions {
				if _, own := through[kind]; own && native[kind] == through[kind] && id.IsRoot() && !harmless(action) {
					continue // it would be done to the test, or to the machine
				}
				if kind == "nobody" && (action == "ioprio 1:0" || action == "ioprio 7:0") {
					continue // who may set it is looked at before whether there is such a process
				}
				asked = append(asked, action)
				lines = append(lines, target(t, l, through[kind])+" "+action)
			}
			for i, got := range actsOn(t, l, id, control.Limit{}, lines...) {
				if _, err := fmt.Fprintf(in, "%d %s\n", native[kind], asked[i]); err != nil {
					t.Fatal(err)
				}
				line, err := answers.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				n, _ := strconv.Atoi(strings.TrimSpace(line))
				if want := syscall.Errno(n); got.Errno != want {
					differences++
					t.Errorf("%-20s %-22s %-22s natively %-8s through the leaf %s %s", who, kind, asked[i], errnoName(want), errnoName(got.Errno), got.Text)
				}
				if got.Errno == 0 {
					done++
				} else {
					refused++
				}
			}
		}
		in.Close()
		io.Copy(io.Discard, answers)
		if err := cmd.Wait(); err != nil {
			t.Error(who, err)
		}
	}
	t.Logf("%d requesters, %d processes, %d actions: %d done, %d refused, %d differences", len(order), len(native), len(actions), done, refused, differences)
	for kind, pid := range through {
		if n := native[kind]; n != pid && settingsOf(n) != settingsOf(pid) {
			t.Errorf("%s: has %s, natively %s", kind, settingsOf(pid), settingsOf(n))
		}
	}
}

func errnoName(n syscall.Errno) string {
	if n == 0 {
		return "done"
	}
	return control.ErrnoName(n)
}

// settingsOf is what actions have made of a process.
func settingsOf(pid int) string {
	nice, _ := unix.Getpriority(unix.PRIO_PROCESS, pid)
	io, _, _ := unix.RawSyscall(unix.SYS_IOPRIO_GET, 1, uintptr(pid), 0)
	var files unix.Rlimit
	_ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &files)
	b, _ := os.ReadFile(procPath(pid, "status"))
	var lines []string
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "State") || strings.HasPrefix(line, "Cpus_allowed_list") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return fmt.Sprint(20-nice, io, files, lines)
}

// templateOf is the process that starts the actors of a leaf.
func templateOf(t *testing.T, l *Leaf) int {
	t.Helper()
	found := 0
	waitFor(t, "the template", func() bool {
		found = processCalled("procsrv-template")
		return found != 0
	})
	return found
}

// processCalled is a child of this process with that name in its arguments, 0 if there is none.
func processCalled(name string) int {
	all, _ := os.ReadDir("/proc")
	for _, e := range all {
		b, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if first, _, _ := strings.Cut(string(b), "\x00"); first == name {
			pid, _ := strconv.Atoi(e.Name())
			if isBelow(pid) {
				return pid
			}
		}
	}
	return 0
}

// isBelow reports whether a process descends from this one.
func isBelow(pid int) bool {
	for range 8 {
		b, err := os.ReadFile(procPath(pid, "status"))
		if err != nil {
			return false
		}
		_, tail, _ := strings.Cut(string(b), "PPid:\t")
		line, _, _ := strings.Cut(tail, "\n")
		if pid, _ = strconv.Atoi(line); pid == os.Getpid() {
			return true
		}
	}
	return false
}

// TestReusedPID: a request for a process that has ended reaches nobody who has its number since.
func TestReusedPID(t *testing.T) {
	l := newControl(t, Config{}, false)
	pid := quiet(t, becomes(userA))
	before := settingsOf(pid)
	for _, wrong := range []string{fmt.Sprintf("%d@%d", pid, 12345), fmt.Sprintf("%d@%d/%d", pid, 12345, pid)} {
		for _, action := range []string{"signal 9", "nice 10", "affinity 0", "ioprio idle", "rlimit nofile 1:1", "sched batch 0"} {
			if got := actsOn(t, l, vfs.Root, control.Limit{}, wrong+" "+action); got[0].Errno != syscall.ESRCH {
				t.Errorf("%s of another process: %v", action, got)
			}
		}
	}
	if after := settingsOf(pid); after != before {
		t.Errorf("the process has %s, and had %s", after, before)
	}
}

// TestThreads acts on one thread alone.
func TestThreads(t *testing.T) {
	l := newControl(t, Config{}, false)
	pid := acting(t, "undumpable") // a program of Go, with threads
	tasks, err := os.ReadDir(procPath(pid, "task"))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	tid := tasks[len(tasks)-1].Name()
	got := actsOn(t, l, vfs.Root, control.Limit{}, target(t, l, pid)+"/"+tid+" nice 19", target(t, l, pid)+"/"+tid+" get-nice", target(t, l, pid)+" get-nice",
		target(t, l, pid)+"/"+tid+" signal USR1", target(t, l, pid)+"/"+strconv.Itoa(os.Getpid())+" signal KILL", target(t, l, pid)+"/"+tid+" sigqueue USR2 77")
	raw, _ := unix.Getpriority(unix.PRIO_PROCESS, pid)
	own := 20 - raw // which the test may have from its own
	if got[0].Errno != 0 || got[1].Value != "19" || got[2].Value != strconv.Itoa(own) || got[3].Errno != 0 || got[4].Errno != syscall.ESRCH || got[5].Errno != 0 {
		t.Errorf("%+v", got)
	}
	b, _ := os.ReadFile(procPath(pid, "task/"+tid+"/status"))
	want := fmt.Sprintf("SigPnd:\t%016x", 1<<(syscall.SIGUSR1-1)|1<<(syscall.SIGUSR2-1))
	if !strings.Contains(string(b), want) {
		t.Errorf("no %q in %s", want, b)
	}
}

// TestGroups acts on the processes of a group, and on no others.
func TestGroups(t *testing.T) {
	l := newControl(t, Config{}, false)
	attr := becomes(userA)
	attr.Setpgid = true
	leader := quiet(t, attr)
	inGroup := func(who vfs.Identity) int {
		attr := becomes(who)
		attr.Setpgid, attr.Pgid = true, leader
		return quiet(t, attr)
	}
	mine, others, outside := inGroup(userA), inGroup(userB), quiet(t, becomes(userA))
	group := fmt.Sprintf("-%d ", leader)
	got := actsOn(t, l, userA, control.Limit{}, group+"probe", group+"signal USR1", group+"nice 19", "-4194304 signal TERM", group+"affinity 0", group+"get-nice")
	for i, want := range []syscall.Errno{0, 0, syscall.EPERM, syscall.ESRCH, syscall.EINVAL, 0} {
		if got[i].Errno != want {
			t.Errorf("%d: %+v, want %v", i, got[i], want)
		}
	}
	pending := func(pid int) bool {
		b, _ := os.ReadFile(procPath(pid, "status"))
		return strings.Contains(string(b), fmt.Sprintf("ShdPnd:\t%016x", 1<<(syscall.SIGUSR1-1)))
	}
	if !pending(leader) || !pending(mine) || pending(others) || pending(outside) {
		t.Errorf("leader %v, mine %v, another's %v, outside %v", pending(leader), pending(mine), pending(others), pending(outside))
	}
	// What the front end does not show is not reached, by root neither.
	if got := actsOn(t, l, vfs.Root, control.Limit{Shown: []uint32{uidB}}, group+"signal USR1"); got[0].Errno != 0 {
		t.Errorf("%+v", got)
	}
	if got := actsOn(t, l, vfs.Root, control.Limit{Own: true}, group+"signal KILL", target(t, l, mine)+" signal KILL"); got[0].Errno != syscall.EPERM || got[1].Errno != syscall.EPERM {
		t.Errorf("not root's own: %+v", got)
	}
	if !pending(others) || strings.Contains(threadState(mine), "Z") {
		t.Errorf("another's has %v; mine is %s", pending(others), threadState(mine))
	}
	if got := actsOn(t, l, vfs.Root, control.Limit{}, group+"signal KILL"); got[0].Errno != 0 {
		t.Errorf("%+v", got)
	}
	for _, pid := range []int{leader, mine, others} {
		waitFor(t, "the end of a group", func() bool { return strings.Contains(threadState(pid), "Z") })
	}
	if strings.Contains(threadState(outside), "Z") {
		t.Error("who is not in the group ended with it")
	}
}

// TestOwnActor: whoever stops or kills the process that acts for them delays themselves alone.
func TestOwnActor(t *testing.T) {
	l := newControl(t, Config{ReadTimeout: 4 * time.Second}, false)
	mine, others := quiet(t, becomes(userA)), quiet(t, becomes(userB))
	probe := func(who vfs.Identity, pid int) control.Answer {
		return actsOn(t, l, who, control.Limit{}, target(t, l, pid)+" probe")[0]
	}
	for round := range actor.MaxPerUser + 2 {
		if got := probe(userA, mine); got.Errno != 0 {
			t.Fatalf("round %d: %+v", round, got)
		}
		pid := processCalled("procsrv-actor")
		if pid == 0 {
			t.Fatal("no actor")
		}
		// It is A's, by the kernel's word: A may signal it, and see nothing in it.
		cmd := again(t.Context(), "actions")
		cmd.SysProcAttr = becomes(userA)
		cmd.Stdin = strings.NewReader(fmt.Sprintf("%d signal 19\n", pid))
		if out, err := cmd.Output(); err != nil || string(out) != "0\n" {
			t.Fatalf("A stops its actor: %q, %v", out, err)
		}
		if got := probe(userB, others); got.Errno != 0 {
			t.Errorf("round %d: B is delayed: %+v", round, got)
		}
		if got := probe(userA, mine); got.Errno != syscall.ETIMEDOUT {
			t.Errorf("round %d: %+v", round, got)
		}
		waitFor(t, "the end of what was given up", func() bool {
			return syscall.Kill(pid, 0) == syscall.ESRCH
		})
		// B's ends, so that the next is A's.
		waitFor(t, "the end of B's", func() bool {
			if pid := processCalled("procsrv-actor"); pid != 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				return false
			}
			return true
		})
	}
}

// TestActorRights looks at what an actor has.
func TestActorRights(t *testing.T) {
	l := newControl(t, Config{}, false)
	who := readers["A in a group"]
	pid := quiet(t, becomes(userA))
	if got := actsOn(t, l, who, control.Limit{}, target(t, l, pid)+" probe"); got[0].Errno != 0 {
		t.Fatalf("%+v", got)
	}
	act := processCalled("procsrv-actor")
	tasks, err := os.ReadDir(procPath(act, "task"))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		b, _ := os.ReadFile(procPath(act, "task/"+task.Name()+"/status"))
		for _, want := range []string{
			fmt.Sprintf("Uid:\t%d\t%d\t%d\t%d\n", uidA, uidA, uidA, uidA), fmt.Sprintf("Gid:\t%d\t%d\t%d\t%d\n", uidA, uidA, uidA, uidA),
			fmt.Sprintf("Groups:\t%d", gidShared), "CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1",
		} {
			if !strings.Contains(string(b), want) {
				t.Errorf("no %q in\n%s", want, b)
			}
		}
	}
	info, err := os.Stat(procPath(act, "environ"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("it can be traced: %v", err)
	}
	sockets := 0
	fds, err := os.ReadDir(procPath(act, "fd"))
	for _, fd := range fds {
		text, _ := os.Readlink(procPath(act, "fd/"+fd.Name()))
		switch {
		case strings.HasPrefix(text, "socket:"):
			sockets++
		case text != "/dev/null" && !strings.HasPrefix(text, "anon_inode:[event") && !strings.HasPrefix(text, "/sys/fs/cgroup/"): // which Go's runtime has
			t.Errorf("it has %s", text)
		}
	}
	if err != nil || sockets != 1 {
		t.Errorf("%d sockets, %v", sockets, err)
	}
}

// TestNoControl: without it there is no such tree.
func TestNoControl(t *testing.T) {
	l := newLeaf(t, Config{})
	for _, who := range []vfs.Identity{vfs.Root, userA} {
		if _, err := l.Attach(t.Context(), who, control.Tree); err != syscall.ENOENT {
			t.Errorf("%d: %v", who.UID, err)
		}
	}
}

// TestActionAudit: an action is a line, equal ones are one, and what only asks is none.
func TestActionAudit(t *testing.T) {
	var log bytes.Buffer
	l := newControl(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, false)
	a, b := quiet(t, becomes(userA)), quiet(t, becomes(userA))
	root, err := l.Attach(vfs.WithOrigin(t.Context(), vfs.Origin{Peer: "tls 10.0.0.1:5", Cert: "head"}), userA, control.Tree)
	if err != nil {
		t.Fatal(err)
	}
	h, _, err := vfs.OpenPath(t.Context(), root.(vfs.Dir), control.File)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	batch := control.AppendHeader(nil, control.Limit{})
	for i, line := range []string{target(t, l, a) + " signal USR1", target(t, l, b) + " signal 10", target(t, l, a) + " probe", "1@1 signal KILL"} {
		batch = fmt.Appendf(batch, "%d %s\n", i, line)
	}
	if _, err := h.(vfs.Writer).WriteAt(t.Context(), batch, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := vfs.ReadAll(t.Context(), h, control.MaxAnswer); err != nil {
		t.Fatal(err)
	}
	l.acts.Audit.Flush()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], fmt.Sprintf(`msg=control uid=%d gid=%d cert="" peer="tls 10.0.0.1:5" peer_cert=head action="signal USR1" targets="%s %s" result=ok count=2`, uidA, uidA, target(t, l, a), target(t, l, b))) ||
		!strings.Contains(lines[1], `action="signal KILL" targets=1@1 result=ESRCH`) {
		t.Errorf("%s", log.String())
	}
}
