package gpid

import (
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A clock is moved by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

type key struct {
	index int
	pid   PID
}

// Five thousand nodes with the longest pids there are: a number never names two
// processes at once, and each leads back to its own.
func TestOneProcessEach(t *testing.T) {
	const nodes, each = 5000, 60
	s := newPages(allPages, time.Now)
	random := rand.New(rand.NewPCG(1, 2))
	by := make(map[GPID]key)
	for index := 1; index <= nodes; index++ {
		for range each {
			k := key{index, 1 + PID(random.Int32N(MaxPID))}
			g := s.gpid(k.index, k.pid)
			if g < Stride {
				t.Fatalf("%v has %d", k, g)
			}
			if other, taken := by[g]; taken && other != k {
				t.Fatalf("%d names %v and %v", g, other, k)
			}
			by[g] = k
		}
	}
	for g, k := range by {
		if index, pid, ok := s.split(g); !ok || index != k.index || pid != k.pid {
			t.Fatalf("%d leads to %d of node %d, not to %v", g, pid, index, k)
		}
		if again := s.gpid(k.index, k.pid); again != g {
			t.Fatalf("%v has %d and %d", k, g, again)
		}
	}
	for _, k := range []key{{0, 1}, {1, 0}, {1, -1}, {1, MaxPID + 1}, {maxPagedIndex + 1, 1}, {-1, 1}} {
		if g := s.gpid(k.index, k.pid); g != 0 {
			t.Errorf("%v has %d", k, g)
		}
	}
	for _, g := range []GPID{-1, 0, 1, Stride - 1, 1<<31 - 1} {
		if index, pid, ok := s.split(g); ok {
			t.Errorf("%d leads to %d of node %d", g, pid, index)
		}
	}
}

// A world is pages and the processes that nodes show.
type world struct {
	t     *testing.T
	s     *pages
	clock *clock
	procs map[int][]int32
	held  map[GPID]key // numbers of processes that are there
}

// sweep shows a node's processes and notes their numbers.
func (w *world) sweep(index int) {
	w.t.Helper()
	pids := w.procs[index]
	slices.Sort(pids)
	w.s.seen(index, pids)
	for _, pid := range pids {
		k := key{index, PID(pid)}
		g := w.s.gpid(index, k.pid)
		if g == 0 {
			continue // full
		}
		if other, taken := w.held[g]; taken && other != k {
			w.t.Fatalf("%d names %v and %v", g, other, k)
		}
		w.held[g] = k
	}
}

// kill ends processes: their numbers are free to be used again.
func (w *world) kill(index int, pid int32) {
	w.procs[index] = slices.DeleteFunc(w.procs[index], func(p int32) bool { return p == pid })
	for g, k := range w.held {
		if k == (key{index, PID(pid)}) {
			delete(w.held, g)
		}
	}
}

// Random births, deaths, sweeps and restarts in a space that is nearly full: while a
// process lives its number is its own and stays the same, over restarts too.
func TestChurn(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 7))
		path := filepath.Join(t.TempDir(), "pages")
		c := &clock{t: time.Unix(1e9, 0)}
		const total = 40
		s, err := openPages(path, total, c.now)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, s: s, clock: c, procs: map[int][]int32{}, held: map[GPID]key{}}
		for range 400 {
			index := 1 + random.IntN(6)
			switch random.IntN(10) {
			case 0, 1, 2, 3:
				pid := 1 + random.Int32N(2000)
				if !slices.Contains(w.procs[index], pid) {
					w.procs[index] = append(w.procs[index], pid)
				}
			case 4, 5:
				if all := w.procs[index]; len(all) > 0 {
					w.kill(index, all[random.IntN(len(all))])
				}
			case 6:
				c.pass(rest / 2)
			case 7:
				if err := w.s.close(); err != nil {
					t.Fatal(err)
				}
				if w.s, err = openPages(path, total, c.now); err != nil {
					t.Fatal(err)
				}
				for g, k := range w.held {
					if got := w.s.gpid(k.index, k.pid); got != g {
						t.Fatalf("seed %d: %v had %d and has %d after a restart", seed, k, g, got)
					}
				}
			default:
				w.sweep(index)
			}
		}
		for g, k := range w.held {
			if index, pid, ok := w.s.split(g); !ok || (key{index, pid}) != k {
				t.Fatalf("seed %d: %d leads to %d of node %d, not to %v", seed, g, pid, index, k)
			}
		}
		w.s.close()
	}
}

// A full space is an error and never a number that somebody else has; and it is none
// any more when pages have been given back.
func TestFull(t *testing.T) {
	c := &clock{t: time.Unix(1e9, 0)}
	s := newPages(3, c.now)
	var first [3]GPID
	for i := range first {
		first[i] = s.gpid(1, PID(i*pageSize+1))
	}
	n := &Numbering{pages: s}
	g := n.GPID(2, 1)
	if refused, err := n.Err(); g != 0 || err == nil || !strings.Contains(err.Error(), "in use") || refused != 1 {
		t.Errorf("one too many has %d, %v; %d were refused", g, err, refused)
	}
	alive := []int32{1}
	s.seen(1, alive) // what was asked for counts as seen once
	s.seen(1, alive)
	c.pass(rest)
	s.seen(1, alive)
	g = n.GPID(2, 1)
	if _, err := n.Err(); g == 0 || err != nil {
		t.Errorf("after pages were given back: %d, %v", g, err)
	}
	if got := s.gpid(1, 1); got != first[0] {
		t.Errorf("a process that lives has %d, not %d", got, first[0])
	}
	if _, _, ok := s.split(first[1]); ok && first[1]/pageSize != g/pageSize && first[2]/pageSize != g/pageSize {
		t.Errorf("%d, which was given back, leads somewhere", first[1])
	}
}

// What was given back is dealt last.
func TestReusedLast(t *testing.T) {
	c := &clock{t: time.Unix(1e9, 0)}
	s := newPages(10, c.now)
	old := s.gpid(1, 1)
	none := []int32{}
	s.seen(1, none)
	s.seen(1, none)
	c.pass(rest)
	s.seen(1, none)
	for i := range PID(9) {
		if g := s.gpid(2, i*pageSize+1); g == old {
			t.Fatalf("%d is dealt again as number %d", old, i)
		}
	}
	if g := s.gpid(2, 20*pageSize+1); g != old {
		t.Errorf("the last one has %d, not %d", g, old)
	}
}

// The journal: a torn end is cut off, anything else that is wrong is refused, and only
// one process has it.
func TestJournal(t *testing.T) {
	state := filepath.Join(t.TempDir(), "dir", "gpids.json")
	path := state + ".pages"
	open := func() (*Numbering, error) { return Open(state, Paged, []NodeName{"n1"}) }
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	want := s.GPID(3, 4_000_000)
	other := s.GPID(4, 5)
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "another aggrfs") {
		t.Errorf("a second one: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(raw []byte) (*Numbering, error) {
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		return open()
	}
	for cut := range recordSize {
		s, err := try(good[:len(good)-cut])
		if err != nil {
			t.Fatalf("cut by %d: %v", cut, err)
		}
		if g := s.GPID(3, 4_000_000); g != want {
			t.Errorf("cut by %d: %d, not %d", cut, g, want)
		}
		if g := s.GPID(4, 5); g == 0 || cut == 0 && g != other {
			t.Errorf("cut by %d: %d", cut, g)
		}
		s.Close()
	}
	record := func(i int) []byte { return good[len(magic)+i*recordSize:][:recordSize] }
	damaged := slices.Clone(good)
	damaged[len(magic)+3] ^= 1
	for what, raw := range map[string][]byte{
		"no journal":   []byte("some text that is none"),
		"a bad record": damaged,
		"dealt twice":  slices.Concat(good, record(0)),
	} {
		if s, err := try(raw); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", what, err)
			s.Close()
		}
	}
}

// A record for which the disk had room in part only is taken off the journal: what comes
// behind it is read by the next start.
func TestFullDisk(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	state := filepath.Join(t.TempDir(), "gpids.json")
	open := func() *Numbering {
		s, err := Open(state, Paged, []NodeName{"n1"})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	first := s.GPID(1, 5)
	info, err := os.Stat(state + ".pages")
	if err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	room := syscall.Rlimit{Cur: uint64(info.Size() + recordSize/2), Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room); err != nil {
		t.Fatal(err)
	}
	none := s.GPID(2, 5)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Err(); none != 0 || err == nil {
		t.Errorf("without room there is gpid %d, error %v", none, err)
	}
	var later []GPID
	for index := 3; index < 6; index++ {
		later = append(later, s.GPID(index, 5))
	}
	if slices.Contains(later, 0) {
		t.Errorf("with room again the gpids are %v", later)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	for i, want := range later {
		if got := s.GPID(3+i, 5); got != want {
			t.Errorf("after the next start a gpid is %d, not %d", got, want)
		}
	}
	if got := s.GPID(1, 5); got != first {
		t.Errorf("after the next start the first gpid is %d, not %d", got, first)
	}
}

// A journal that is mostly about the past is written anew.
func TestRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pages")
	c := &clock{t: time.Unix(1e9, 0)}
	const total = 500
	s, err := openPages(path, total, c.now)
	if err != nil {
		t.Fatal(err)
	}
	keep := s.gpid(1, 1)
	for range 5 {
		for page := range PID(400) {
			if s.gpid(2, 1+page*pageSize) == 0 {
				t.Fatalf("no number for page %d", page)
			}
		}
		for range 3 {
			s.seen(2, nil)
			c.pass(rest)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	highest := s.highest()
	before, _ := os.Stat(path)
	if s, err = openPages(path, total, c.now); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(path)
	// The page that is there, and that the last one was dealt and given back.
	if want := int64(len(magic) + 3*recordSize); before.Size() <= 100*want || after.Size() != want {
		t.Errorf("%d bytes, then %d, want %d", before.Size(), after.Size(), want)
	}
	if g := s.gpid(1, 1); g != keep {
		t.Errorf("%d, not %d", g, keep)
	}
	if g := s.gpid(5, 1); g <= keep {
		t.Errorf("a fresh one has %d", g)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if s, err = openPages(path, total, c.now); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if got := s.highest(); got != highest {
		t.Errorf("numbers were dealt up to %d, and after two starts up to %d", highest, got)
	}
}

// Lookups go on while pages are dealt and given back.
func TestConcurrent(t *testing.T) {
	c := &clock{t: time.Unix(1e9, 0)}
	s := newPages(allPages, c.now)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(9, uint64(worker)))
			for range 5000 {
				k := key{1 + random.IntN(20), 1 + PID(random.Int32N(100_000))}
				g := s.gpid(k.index, k.pid)
				if index, pid, ok := s.split(g); ok && (key{index, pid}) != k {
					t.Errorf("%v has %d, which leads to %d of node %d", k, g, pid, index)
				}
				if random.IntN(50) == 0 {
					s.seen(k.index, []int32{int32(k.pid)})
					c.pass(rest / 4)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkGPID(b *testing.B) {
	s := newPages(allPages, time.Now)
	s.gpid(7, 12345)
	b.ReportAllocs()
	for b.Loop() {
		s.gpid(7, 12345)
	}
}
