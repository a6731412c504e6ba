package aggregate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// sweptFiles are those that the policies of these tests have swept.
var sweptFiles = []string{"stat", "status", "cmdline", "statm"}

// A pledge is a cluster of fake leaves whose tables are good for a second of its clock, with
// a mount.
type pledge struct {
	*Cluster
	t      *testing.T
	leaves []*fakeLeaf // n1 and on
	mount  *Mount
	skew   atomic.Int64
	moment int // what the files of all processes say
}

// newPledge is such a cluster, whose listings last that long.
func newPledge(t *testing.T, cfg Config, span string, leaves ...*fakeLeaf) *pledge {
	t.Helper()
	p := &pledge{t: t, leaves: leaves}
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(p.skew.Load())) }
	cfg.Policy = policy(t, "- {match: \"<pid>/{stat,statm,status,cmdline}\", cache: 1s, stale: 1h, prefetch: true}\nlisting: "+span+"\n")
	head := newFakeLeaf()
	for _, l := range leaves {
		l.facts.BootTime = time.Now()
	}
	head.add(50, 0, 1, 50, 50)
	p.pass()
	p.Cluster = fakeCluster(t, cfg, append([]*fakeLeaf{head}, leaves...)...)
	p.mount = p.NewMount(Native{Path: "/run/native"})
	t.Cleanup(p.mount.Close)
	return p
}

// lifeTicks are between the start times of processes with one pid: more than this machine has run.
const lifeTicks = 1e10

// mark makes the files of a process say which life of its pid and what moment it is of. All
// fields of stat are there, so that it can be masked.
func (l *fakeLeaf) mark(f fakeProc, moment int) {
	life := l.lives[strconv.Itoa(f.pid)]
	f.files["stat"] = fmt.Sprintf("%d (p%[1]d) S 1 %[1]d %[1]d 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d %d 10 99 140000000 140000001 140000002 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 150000000 150000001 150000002 160000000 160000001 160000002 160000003 0\n", f.pid, lifeTicks*life+f.pid, moment)
	f.files["status"] = fmt.Sprintf("Name:\tp%d\nPid:\t%[1]d\nPPid:\t1\nLife:\t%d\nMoment:\t%d\n", f.pid, life, moment)
	f.files["cmdline"] = fmt.Sprintf("p\x00%d\x00%d\x00", life, moment)
	f.files["statm"] = fmt.Sprintf("%d %d 1 1 0 1 0\n", life, moment)
}

// pass lets a table's time pass, and something happen to each process.
func (p *pledge) pass() {
	p.moment++
	p.skew.Add(int64(2 * time.Second))
	for _, l := range p.leaves {
		l.change(func() {
			for _, f := range l.procs {
				l.mark(f, p.moment)
			}
		})
	}
}

// start starts a process.
func (p *pledge) start(l *fakeLeaf, pid int, uid uint32) {
	f := l.add(pid, uid, 1, pid, pid)
	l.change(func() { l.mark(*f, p.moment) })
}

// sweep has tables brought, by somebody who is no reader of the mount.
func (p *pledge) sweep() { p.t.Helper(); names(p.t, rootOf(p.t, p, vfs.Root, "")) }

// seen is what a file says of a process.
type seen struct{ life, moment int }

func sees(t *testing.T, name, text string) (s seen) {
	t.Helper()
	switch name {
	case "stat":
		f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		s.life, _ = strconv.Atoi(f[19])
		s.moment, _ = strconv.Atoi(f[20])
		s.life /= lifeTicks // rebased by the time that this machine runs
	case "status":
		f := strings.Fields(text)
		s.life, _ = strconv.Atoi(f[7])
		s.moment, _ = strconv.Atoi(f[9])
	case "cmdline":
		f := strings.Split(text, "\x00")
		s.life, _ = strconv.Atoi(f[1])
		s.moment, _ = strconv.Atoi(f[2])
	case "statm":
		f := strings.Fields(text)
		s.life, _ = strconv.Atoi(f[0])
		s.moment, _ = strconv.Atoi(f[1])
	}
	return s
}

// readerOf is a request of the main thread of that process.
func readerOf(t *testing.T, pid int) context.Context {
	return vfs.WithCaller(t.Context(), vfs.Caller{TID: uint32(pid)})
}

// readAs opens a file as a front does, from the root, and returns all of it.
func readAs(ctx context.Context, root vfs.Dir, path ...string) (text string, h vfs.Held, err error) {
	var n vfs.Node = root
	for _, name := range path {
		if n, err = n.(vfs.Dir).Walk(ctx, name); err != nil {
			return "", nil, err
		}
		if p, ok := n.(vfs.Previewer); ok {
			p.Preview()
		}
	}
	got, err := n.(vfs.File).Open(ctx)
	if err != nil {
		return "", nil, err
	}
	defer got.Close()
	b, err := vfs.ReadAll(ctx, got, 1<<20)
	h, _ = got.(vfs.Held)
	return string(b), h, err
}

// gone reports whether an error says that a process has ended.
func gone(err error) bool {
	e := vfs.Errno(err)
	return e == syscall.ESRCH || e == syscall.ENOENT
}

func pidNames(all []string) []string {
	return slices.DeleteFunc(all, func(name string) bool { return name[0] < '0' || name[0] > '9' })
}

const stride = gpid.Stride

// A process that was listed and has ended can be read once by who listed it, file by file,
// without asking its node; not a second time, and by nobody else.
func TestListingOutlivesProcess(t *testing.T) {
	l := newFakeLeaf()
	p := newPledge(t, Config{}, "10m", l)
	p.start(l, 700, 0)
	p.start(l, 701, 0)
	root := rootOf(t, p.mount, vfs.Root, "")
	me, other := readerOf(t, unix.Getpid()), readerOf(t, sleeper(t, 0))
	p.pass()
	namesFor(t, me, root)
	was := p.moment
	l.end(700)
	p.pass()
	p.sweep()
	g := strconv.Itoa(stride + 700)
	for who, ctx := range map[string]context.Context{"another reader": other, "a reader who is not known": t.Context()} {
		if _, err := root.Walk(ctx, g); !gone(err) {
			t.Errorf("%s walks to a process that has ended: %v", who, err)
		}
	}
	if _, err := rootOf(t, p, vfs.Root, "").Walk(me, g); !gone(err) {
		t.Errorf("by 9P, a process that has ended can be walked to: %v", err)
	}
	again := rootOf(t, p.mount, vfs.Root, "") // an attach more, as of a mount for all users
	l.requests()
	dir, err := again.Walk(me, g)
	if err != nil {
		t.Fatalf("a process that was listed cannot be walked to: %v", err)
	}
	if a := dir.(vfs.Previewer).Preview(); a.Keep != 0 || a.KeepName != 0 || a.Type() != vfs.TypeDir || a.Nlink != 9 {
		t.Errorf("its directory previews as %+v", a)
	}
	if a, err := dir.Attr(me); err != nil || a.Keep != 0 || a.Nlink != 9 || a.ID != dir.ID() {
		t.Errorf("its directory is %+v, %v", a, err)
	}
	for _, name := range sweptFiles {
		f, err := dir.(vfs.Dir).Walk(me, name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if a, err := f.Attr(me); err != nil || a.Keep != 0 || a.Size == 0 || a.ID != f.ID() {
			t.Errorf("%s is %+v, %v", name, a, err)
		}
		if _, ok := f.(vfs.Stater).State(); ok {
			t.Errorf("%s of a process that has ended has a state", name)
		}
		text, h, err := readAs(me, again, g, name)
		if err != nil || sees(t, name, text) != (seen{0, was}) {
			t.Errorf("%s is %q, %v", name, text, err)
			continue
		}
		if h.Keep() != 0 || h.Version() != 0 {
			t.Errorf("%s of a process that has ended may be kept for %v", name, h.Keep())
		}
	}
	if got := l.requests(); len(got) > 0 {
		t.Errorf("the node was asked: %v", got)
	}
	for _, name := range sweptFiles {
		if _, _, err := readAs(me, root, g, name); !gone(err) {
			t.Errorf("%s can be read a second time: %v", name, err)
		}
	}
	if _, _, err := readAs(me, root, g, "environ"); !gone(err) {
		t.Errorf("environ: %v", err)
	}
	// Of one that lives: once as it was, then as it is.
	for i, want := range []int{was, p.moment, p.moment} {
		text, h, err := readAs(me, root, strconv.Itoa(stride+701), "stat")
		if err != nil || sees(t, "stat", text).moment != want {
			t.Errorf("open %d of a process that lives is %q, %v; want moment %d", i, text, err, want)
		} else if keep := h.Keep(); (keep > 0) != (want == p.moment) {
			t.Errorf("open %d may be kept for %v", i, keep)
		}
	}
	// A new listing is as of another moment, and lacks who has ended.
	all := namesFor(t, me, root)
	if slices.Contains(all, g) {
		t.Error("who has ended is listed")
	}
	if _, err := root.Walk(me, g); !gone(err) {
		t.Errorf("after another listing who has ended can be walked to: %v", err)
	}
	if text, h, err := readAs(me, root, strconv.Itoa(stride+701), "stat"); err != nil || sees(t, "stat", text).moment != p.moment || h.Keep() == 0 {
		t.Errorf("of the new listing: %q, %v", text, err)
	}
}

// A thread that was never seen belongs to its group's listing, and a root below the root has
// listings of its own.
func TestListingReaders(t *testing.T) {
	l := newFakeLeaf()
	p := newPledge(t, Config{}, "10m", l)
	p.start(l, 700, 0)
	root := rootOf(t, p.mount, vfs.Root, "")
	me := readerOf(t, unix.Getpid())
	p.pass()
	namesFor(t, me, root)
	first := p.moment
	p.pass()
	part := walkDir(t, root, "sets", "n1")
	namesFor(t, me, part)
	second := p.moment
	p.pass()
	p.sweep()
	// Of two threads at least one is not the main one.
	var both, done sync.WaitGroup
	both.Add(2)
	var other atomic.Int32
	for range 2 {
		done.Go(func() {
			runtime.LockOSThread() // and ends with it
			both.Done()
			both.Wait()
			if unix.Gettid() == unix.Getpid() || !other.CompareAndSwap(0, int32(unix.Gettid())) {
				return
			}
			thread, g := readerOf(t, unix.Gettid()), strconv.Itoa(stride+700)
			for dir, want := range map[vfs.Dir]int{root: first, part: second} {
				if text, _, err := readAs(thread, dir, g, "status"); err != nil || sees(t, "status", text).moment != want {
					t.Errorf("another thread reads %q, %v; want moment %d", text, err, want)
				}
			}
		})
	}
	done.Wait()
	if other.Load() == 0 {
		t.Error("no other thread has read")
	}
}

// Each reader has its own moment.
func TestListingPerReader(t *testing.T) {
	l := newFakeLeaf()
	p := newPledge(t, Config{}, "10m", l)
	for pid := range 20 {
		p.start(l, 700+pid, 0)
	}
	root := rootOf(t, p.mount, vfs.Root, "")
	var moments []int
	readers := []context.Context{readerOf(t, sleeper(t, 0)), readerOf(t, sleeper(t, 0)), t.Context()}
	for _, ctx := range readers {
		p.pass()
		namesFor(t, ctx, root)
		moments = append(moments, p.moment)
	}
	p.pass()
	p.sweep()
	for pid := range 20 {
		for i, ctx := range readers {
			for _, name := range sweptFiles {
				text, _, err := readAs(ctx, root, strconv.Itoa(stride+700+pid), name)
				if err != nil || sees(t, name, text) != (seen{0, moments[i]}) {
					t.Fatalf("reader %d has %s as %q, %v; want moment %d", i, name, text, err, moments[i])
				}
			}
		}
	}
}

// While a slow reader goes through its listing processes are born, end, and are followed by
// others with their pids. The reader sees each that was listed once, as of one moment, and
// nothing of two.
func TestListingAmongBirthsAndDeaths(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	leaves := []*fakeLeaf{newFakeLeaf(), newFakeLeaf()}
	p := newPledge(t, Config{}, "10m", leaves...)
	alive := map[int]bool{}
	// churn has some processes be born, some end, and some of the others change.
	churn := func(n int) {
		p.moment++
		p.skew.Add(int64(2 * time.Second))
		for k, l := range leaves {
			l.change(func() {
				for _, f := range l.procs {
					if r.IntN(8) == 0 {
						l.mark(f, p.moment)
					}
				}
			})
			for range n {
				pid := 700 + r.IntN(200)
				key := k*1000 + pid
				if alive[key] {
					l.end(pid)
				} else {
					p.start(l, pid, uint32(r.IntN(2)))
				}
				alive[key] = !alive[key]
			}
		}
	}
	for range 10 {
		churn(20)
	}
	root := rootOf(t, p.mount, vfs.Root, "")
	me, other := readerOf(t, unix.Getpid()), readerOf(t, sleeper(t, 0))
	churn(0)
	was := map[string]seen{}
	for k, l := range leaves {
		l.change(func() {
			for _, f := range l.procs {
				was[strconv.Itoa((k+1)*stride+f.pid)] = sees(t, "statm", f.files["statm"])
			}
		})
	}
	all := slices.DeleteFunc(pidNames(namesFor(t, me, root)), func(name string) bool { return len(name) < 8 })
	if len(all) != len(was) || len(all) < 50 {
		t.Fatalf("%d are listed of %d", len(all), len(was))
	}
	for i, name := range all {
		if i%3 == 0 {
			churn(4)
			p.sweep()
			namesFor(t, other, root)
		}
		for k, file := range sweptFiles {
			if k == 2 && i%4 == 1 { // in the middle of a process
				churn(4)
				p.sweep()
				readAs(other, root, name, "stat")
			}
			text, _, err := readAs(me, root, name, file)
			if err != nil || sees(t, file, text) != was[name] {
				t.Errorf("%s of %s is %q, %v; want %v", file, name, text, err, was[name])
			}
		}
	}
}

// To the reader whom a process was listed that has ended, its number means that one though
// another has it; to others the other. No front may keep what it means.
func TestListingOfReusedPID(t *testing.T) {
	l := newFakeLeaf()
	p := newPledge(t, Config{}, "10m", l)
	p.start(l, 700, 0)
	root := rootOf(t, p.mount, vfs.Root, "")
	me, other := readerOf(t, unix.Getpid()), readerOf(t, sleeper(t, 0))
	p.pass()
	namesFor(t, me, root)
	was := p.moment
	l.end(700)
	p.start(l, 700, 0)
	p.pass()
	g := strconv.Itoa(stride + 700)
	namesFor(t, other, root)
	next, err := root.Walk(other, g)
	if err != nil {
		t.Fatal(err)
	}
	if a := next.(vfs.Previewer).Preview(); a.Keep != 0 || a.KeepName != 0 {
		t.Errorf("a front may keep what the number means for %v", max(a.Keep, a.KeepName))
	}
	file, err := next.(vfs.Dir).Walk(other, "status")
	if err != nil {
		t.Fatal(err)
	}
	// The reader comes to what a front has kept of the other process.
	if _, err := next.Attr(me); vfs.Errno(err) != syscall.ESTALE {
		t.Errorf("its attributes: %v", err)
	}
	if _, err := next.(vfs.Dir).Walk(me, "stat"); vfs.Errno(err) != syscall.ESTALE {
		t.Errorf("a walk from its directory: %v", err)
	}
	if _, err := next.(vfs.Dir).Walk(me, "environ"); vfs.Errno(err) != syscall.ESTALE {
		t.Errorf("a walk from its directory to another file: %v", err)
	}
	if _, err := file.(vfs.File).Open(me); vfs.Errno(err) != syscall.ESTALE {
		t.Errorf("an open of its file: %v", err)
	}
	dir, err := root.Walk(me, g)
	if err != nil || dir.ID() == next.ID() {
		t.Fatalf("the number means %v, %v", dir, err)
	}
	for _, step := range []struct {
		ctx    context.Context
		file   string
		want   seen
		opened bool
	}{
		{me, "stat", seen{0, was}, false}, {other, "stat", seen{1, p.moment}, false}, {me, "status", seen{0, was}, false},
		{other, "status", seen{1, p.moment}, false}, {other, "status", seen{1, p.moment}, false}, {me, "stat", seen{}, true}, {me, "cmdline", seen{0, was}, false},
	} {
		text, _, err := readAs(step.ctx, root, g, step.file)
		switch {
		case step.opened && !gone(err):
			t.Errorf("%s can be opened again: %q, %v", step.file, text, err)
		case !step.opened && (err != nil || sees(t, step.file, text) != step.want):
			t.Errorf("%s is %q, %v; want %v", step.file, text, err, step.want)
		}
	}
	namesFor(t, me, root)
	if text, _, err := readAs(me, root, g, "stat"); err != nil || sees(t, "stat", text) != (seen{1, p.moment}) {
		t.Errorf("after another listing it is %q, %v", text, err)
	}
	if dir, _ := root.Walk(me, g); dir.(vfs.Previewer).Preview().Keep == 0 {
		t.Error("what nobody contests any more may not be kept")
	}
}

// What is the same record in the newest table is given out with its TTL, and has a state; what
// differs has none for as long as somebody may be given it as it was.
func TestListingAndFronts(t *testing.T) {
	l := newFakeLeaf()
	p := newPledge(t, Config{}, "10m", l)
	p.start(l, 700, 0)
	p.start(l, 701, 0)
	root := rootOf(t, p.mount, vfs.Root, "")
	me := readerOf(t, unix.Getpid())
	p.pass()
	namesFor(t, me, root)
	p.skew.Add(int64(2 * time.Second))
	l.change(func() { // the first changes, the second does not
		l.mark(l.procs[0], p.moment+1)
	})
	p.sweep()
	for i, same := range []bool{false, true} {
		g := strconv.Itoa(stride + 700 + i)
		n, _, err := vfs.WalkPath(me, root, g, "stat")
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := n.(vfs.Stater).State(); ok != same {
			t.Errorf("%s has a state: %v", g, ok)
		}
		if a := n.(vfs.Previewer).Preview(); a.Keep == 0 {
			t.Errorf("the attributes of %s are not kept, which are as they were", g)
		}
		text, h, err := readAs(me, root, g, "stat")
		if err != nil || sees(t, "stat", text).moment != p.moment || (h.Keep() > 0) != same || (h.Version() != 0) != same {
			t.Errorf("%s is %q, to be kept for %v, %v", g, text, h.Keep(), err)
		}
		if _, ok := n.(vfs.Stater).State(); !ok {
			t.Errorf("%s has no state though it has been given", g)
		}
	}
}

// Whether a reader may see what they were listed is asked at each open.
func TestListingAndRights(t *testing.T) {
	l := newFakeLeaf()
	auth := authority(everybodyEverywhere)
	p := newPledge(t, Config{Access: auth}, "10m", l)
	for pid, uid := range map[int]uint32{700: 1, 701: 1, 702: 2, 703: 2, 704: 2} {
		p.start(l, pid, uid)
	}
	bob := rootOf(t, p.mount, uid(1), "")
	me := readerOf(t, unix.Getpid())
	p.pass()
	namesFor(t, me, bob)
	was := p.moment
	l.end(700)
	l.end(702)
	l.end(704)
	p.pass()
	p.sweep()
	path := func(pid int) string { return strconv.Itoa(stride + pid) }
	stat := func(pid int) (string, error) {
		text, _, err := readAs(me, bob, path(pid), "stat")
		return text, err
	}
	// Full of one's own, masked of others', whether they live or not.
	for pid, full := range map[int]bool{700: true, 701: true, 702: false, 703: false} {
		text, err := stat(pid)
		if err != nil || sees(t, "stat", text).moment != was || strings.Contains(text, "140000000") != full {
			t.Errorf("stat of %d is %q, %v", pid, text, err)
		}
	}
	kept := walkDirAs(t, me, bob, path(704))
	auth.SetRules(access.Rules{Views: []access.View{ownEverywhere}})
	for _, pid := range []int{702, 703, 704} {
		if _, _, err := readAs(me, bob, path(pid), "status"); !gone(err) {
			t.Errorf("status of %d after rights were withdrawn: %v", pid, err)
		}
	}
	if _, _, err := readAs(me, kept, "status"); !gone(err) {
		t.Errorf("from a directory that was walked to before: %v", err)
	}
	if _, err := kept.Attr(me); !gone(err) {
		t.Errorf("its attributes: %v", err)
	}
	if text, _, err := readAs(me, bob, path(700), "status"); err != nil || sees(t, "status", text).moment != was {
		t.Errorf("what is one's own is %q, %v", text, err)
	}
	auth.SetRules(access.Rules{})
	if _, _, err := readAs(me, bob, path(700), "cmdline"); !gone(err) {
		t.Errorf("without any view: %v", err)
	}
}

func walkDirAs(t *testing.T, ctx context.Context, root vfs.Dir, path ...string) vfs.Dir {
	t.Helper()
	n, _, err := vfs.WalkPath(ctx, root, path...)
	if err != nil {
		t.Fatal(err)
	}
	return n.(vfs.Dir)
}

// A process that has become somebody else's since is shown in no form that its rights of now
// do not allow, and what a procfs hides now stays hidden.
func TestListingOfWhatIsHiddenNow(t *testing.T) {
	l := newFakeLeaf()
	p := newPledge(t, Config{Access: authority(everybodyEverywhere)}, "10m", l)
	p.start(l, 700, 1)
	p.start(l, 701, 2)
	p.start(l, 702, 2)
	bob := rootOf(t, p.mount, uid(1), "")
	me := readerOf(t, unix.Getpid())
	p.pass()
	namesFor(t, me, bob)
	l.end(702)
	l.change(func() {
		l.procs[0].uid = 2
		l.mark(l.procs[0], p.moment+1)
	})
	p.pass()
	p.sweep()
	if text, _, err := readAs(me, bob, strconv.Itoa(stride+700), "stat"); err != nil || strings.Contains(text, "140000000") {
		t.Errorf("stat of a process that is another's now is %q, %v", text, err)
	}
	l.change(func() { l.facts.HidePID = procfile.HideProcess })
	p.pass()
	p.sweep()
	l.requests()
	for _, pid := range []int{701, 702} {
		if text, _, err := readAs(me, bob, strconv.Itoa(stride+pid), "stat"); !gone(err) {
			t.Errorf("what is hidden now is %q, %v", text, err)
		}
	}
	if len(l.requests()) == 0 {
		t.Error("the node's kernel was not asked")
	}
	if all := namesFor(t, me, bob); slices.Contains(all, strconv.Itoa(stride+701)) {
		t.Error("what is hidden is listed")
	}
}

// A reader who is limited in processes is listed, and so promised, theirs alone.
func TestListingOfOwn(t *testing.T) {
	l := newFakeLeaf()
	p := newPledge(t, Config{Access: access.New(access.Rules{Views: []access.View{ownEverywhere}}, userdb.New(userdb.Config{}), nil)}, "10m", l)
	p.start(l, 700, 1)
	p.start(l, 701, 2)
	bob := rootOf(t, p.mount, uid(1), "")
	me := readerOf(t, unix.Getpid())
	p.pass()
	if all := pidNames(namesFor(t, me, bob)); !slices.Equal(all, []string{strconv.Itoa(stride + 700)}) {
		t.Errorf("listed are %v", all)
	}
	l.end(700)
	l.end(701)
	p.pass()
	p.sweep()
	if text, _, err := readAs(me, bob, strconv.Itoa(stride+700), "stat"); err != nil {
		t.Errorf("one's own is %q, %v", text, err)
	}
	if text, _, err := readAs(me, bob, strconv.Itoa(stride+701), "stat"); !gone(err) {
		t.Errorf("another's is %q, %v", text, err)
	}
}

// A node that goes silent in the middle costs nothing of what was listed of it.
func TestListingOfSilentNode(t *testing.T) {
	l, well := newFakeLeaf(), newFakeLeaf()
	p := newPledge(t, Config{Timeouts: Timeouts{Connect: time.Minute, Read: 10 * time.Second, Sweep: 5 * time.Second}}, "10m", l, well)
	for pid := range 20 {
		p.start(l, 700+pid, 0)
	}
	p.start(well, 700, 0)
	root := rootOf(t, p.mount, vfs.Root, "")
	me := readerOf(t, unix.Getpid())
	p.pass()
	namesFor(t, me, root)
	was := p.moment
	read := func(from, to int) {
		t.Helper()
		for pid := from; pid < to; pid++ {
			for _, name := range sweptFiles {
				text, _, err := readAs(me, root, strconv.Itoa(stride+700+pid), name)
				if err != nil || sees(t, name, text) != (seen{0, was}) {
					t.Fatalf("%s of %d is %q, %v", name, pid, text, err)
				}
			}
		}
	}
	read(0, 10)
	l.stop()
	defer l.resume()
	c := p.node("n1")
	c.Probe()
	eventually(t, "n1 does not answer", func() bool { return c.Health().State != upstream.Up })
	p.pass()
	read(10, 15)
	p.skew.Add(int64(2 * time.Hour)) // its rows are withdrawn
	read(15, 20)
	if _, _, err := readAs(me, root, strconv.Itoa(stride+700), "stat"); vfs.Errno(err) != syscall.ESRCH {
		t.Errorf("a second open: %v", err)
	}
}

// A listing ends with its time, and its tables' memory comes back, without anybody asking; it
// ends with its mount, with the policy, and when its user has too many.
func TestListingEnds(t *testing.T) {
	l := newFakeLeaf()
	begin := func(t *testing.T, span string) (*pledge, context.Context) {
		p := newPledge(t, Config{}, span, l)
		l.end(701)
		p.start(l, 700, 0)
		p.start(l, 701, 0)
		p.pass()
		me := readerOf(t, unix.Getpid())
		namesFor(t, me, rootOf(t, p.mount, vfs.Root, ""))
		return p, me
	}
	g := strconv.Itoa(stride + 700)
	// freed waits until nobody holds the table that there is now.
	freed := func(t *testing.T, p *pledge, end func()) {
		t.Helper()
		var free atomic.Bool
		runtime.AddCleanup(p.node("n1").Table(), func(int) { free.Store(true) }, 0)
		l.end(700)
		p.pass()
		p.sweep()
		end()
		eventually(t, "the table is held by nobody", func() bool { runtime.GC(); return free.Load() })
	}
	t.Run("time", func(t *testing.T) {
		p, me := begin(t, "200ms")
		freed(t, p, func() {})
		root := rootOf(t, p.mount, vfs.Root, "")
		if _, _, err := readAs(me, root, g, "stat"); !gone(err) {
			t.Errorf("after its time: %v", err)
		}
	})
	t.Run("mount", func(t *testing.T) {
		p, me := begin(t, "10m")
		freed(t, p, p.mount.Close)
		root := rootOf(t, p.mount, vfs.Root, "")
		namesFor(t, me, root)
		freed(t, p, func() {}) // a mount that is closed has none
	})
	t.Run("policy", func(t *testing.T) {
		p, _ := begin(t, "10m")
		freed(t, p, func() { p.SetPolicy(policy(t, swept)) })
	})
	t.Run("none", func(t *testing.T) {
		p, _ := begin(t, "0s")
		freed(t, p, func() {})
	})
	t.Run("reader", func(t *testing.T) {
		p, me := begin(t, "10m")
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		root := rootOf(t, p.mount, vfs.Root, "")
		p.pass()
		namesFor(t, me, root)
		p.pass() // the other reader's table is another
		namesFor(t, readerOf(t, cmd.Process.Pid), root)
		cmd.Process.Kill()
		cmd.Wait()
		freed(t, p, p.tree.Tidy)
		if _, err := root.Walk(me, strconv.Itoa(stride+701)); err != nil {
			t.Errorf("of a reader that lives: %v", err)
		}
	})
	t.Run("number", func(t *testing.T) {
		p, me := begin(t, "10m")
		l.end(700)
		p.pass()
		p.sweep()
		for i := range 8 {
			if _, err := rootOf(t, p.mount, vfs.Root, "").Walk(me, g); (err == nil) != (i < 8) {
				t.Errorf("with %d listings more the first is %v", i, err)
			}
			m := p.NewMount(Native{Path: "/run/native"})
			defer m.Close()
			namesFor(t, me, rootOf(t, m, vfs.Root, ""))
		}
		if _, err := rootOf(t, p.mount, vfs.Root, "").Walk(me, g); !gone(err) {
			t.Errorf("with 8 listings more the first is %v", err)
		}
	})
}

// What a listing holds is some bits a row beside the table that it shares with its node, and
// no more than the records that have changed since once that has another. It prints bytes a listed process.
func TestListingMemory(t *testing.T) {
	const procs, perSweep = 20000, 20
	l := manyProcs(procs)
	p := newPledge(t, Config{}, "10m", l)
	me := readerOf(t, unix.Getpid())
	heap := func() uint64 {
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	// What a sweep has left behind goes when its goroutines have ended, whenever that is.
	settled := func() uint64 {
		last := heap()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
			now := heap()
			if now+procs > last {
				return now
			}
			last = now
		}
		return last
	}
	for _, sweeps := range []int{0, 1, 3, 10, 20, 40} {
		p.pass()
		m := p.NewMount(Native{Path: "/run/native"})
		if n := len(pidNames(namesFor(t, me, rootOf(t, m, vfs.Root, "")))); n != procs+1 {
			t.Fatalf("%d are listed", n)
		}
		for k := range sweeps {
			p.skew.Add(int64(2 * time.Second))
			l.change(func() {
				for i := range procs / perSweep {
					l.mark(l.procs[(i*perSweep+k*7)%procs], p.moment+k+1)
				}
			})
			p.sweep()
		}
		with := settled()
		m.Close()
		held := int64(with - settled())
		table := int64(p.node("n1").Table().Size())
		t.Logf("after %d sweeps in each of which 5 %% of the processes changed: %.1f bytes a listed process (a table is %d)", sweeps, float64(held)/procs, table/procs)
		if sweeps == 0 && held > 20*procs || held > table+40*procs {
			t.Errorf("that is too much")
		}
	}
}
