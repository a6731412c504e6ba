package access

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aggrfs/aggrfs/internal/command"
	"github.com/aggrfs/aggrfs/test/wait"
)

func TestMain(m *testing.M) {
	command.Stage()
	goleak.VerifyTestMain(m)
}

// log is what was logged.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	wait.Until(t, what, f)
}

// A source is followed through change, breakage and return; what cannot be had
// any more ends after its time.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "table")
	for _, d := range []string{dir, filepath.Dir(dir)} { // the command's user is another
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(text string, mode os.FileMode) {
		t.Helper()
		tmp := path + ".new"
		if err := errors.Join(os.WriteFile(tmp, []byte(text), 0o600), os.Chmod(tmp, mode), os.Rename(tmp, path)); err != nil {
			t.Fatal(err)
		}
	}
	for _, src := range []Source{{File: path}, {Command: []string{"/bin/cat", path}}} {
		ctx, cancel := context.WithCancel(t.Context())
		write("ann n1\n", 0o644)
		a := New(Rules{Views: []View{{For: []Principal{{Kind: Anyone}}, Nodes: Nodes{Allocated: true}}}}, people, nil)
		var out log
		src.Interval, src.MaxAge = 10*time.Millisecond, 300*time.Millisecond
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			Follow(ctx, a, src, slog.New(slog.NewTextHandler(&out, nil)))
		}()
		has := func(want string) func() bool {
			return func() bool { return a.Scope(user(1001)).Nodes.String() == want }
		}
		eventually(t, "n1 is allocated", has("n1"))
		write("ann n2\n", 0o644)
		eventually(t, "n2 is allocated", has("n2"))
		write("bob n1\nann n[3\n", 0o644)
		eventually(t, "a bad line is logged", func() bool { return strings.Contains(out.String(), "line 2") })
		eventually(t, "a bad line costs its own row", has(""))
		write("ann n2\n", 0o644)
		eventually(t, "n2 is allocated again", has("n2"))
		write("ann n[3\n", 0o644)
		eventually(t, "a bad table is logged", func() bool { return strings.Contains(out.String(), "none of its lines") })
		eventually(t, "nothing is allocated any more", has(""))
		write("ann n4\n", 0o644)
		eventually(t, "n4 is allocated", has("n4"))
		if src.File != "" {
			write("ann n5\n", 0o666)
			eventually(t, "a table that everybody can write is refused", func() bool { return strings.Contains(out.String(), "chmod o-w") })
		}
		if n := strings.Count(out.String(), "\n"); n > 10 {
			t.Errorf("%d lines were logged:\n%s", n, &out)
		}
		cancel()
		<-ended
	}
}

// A command that does not end, says too much or fails is ended and told of; one that
// says nothing and complains has failed, one that says nothing has not.
func TestBadCommand(t *testing.T) {
	for script, want := range map[string]string{
		"sleep 1000 & sleep 1000": "no end after", "echo no queue >&2; exit 3": "exited 3: no queue",
		"yes ann n1 | head -c 34000000": "prints more than", "echo no queue >&2": "printed no allocation, and complained: no queue",
		"echo; echo '# nobody'": "", "echo odd >&2; echo ann": "", "kill -9 $$": "SIGKILL", "echo squeue: error: x": "none of its lines",
	} {
		_, err := Source{Command: []string{"/bin/sh", "-c", script}, Timeout: 3 * time.Second}.Read(t.Context(), people)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
	}
	for _, src := range []Source{{Command: []string{"/no/such/program"}}, {Command: []string{"/bin/true"}, User: "nosuch"}} {
		if _, err := src.Read(t.Context(), people); err == nil {
			t.Errorf("%v gave a table", src)
		}
	}
}

// A command runs as its user, with an environment that has nothing to change what
// squeue prints.
func TestCommandOfSource(t *testing.T) {
	t.Setenv("SLURM_TIME_FORMAT", "relative")
	t.Setenv("SLURM_CONF", "/etc/slurm/here.conf")
	got, err := Source{Command: []string{"/bin/sh", "-c", `echo "$(id -u) n[$(id -u)] $SLURM_TIME_FORMAT"; echo "$USER ${SLURM_CONF#/etc/slurm/}"`}, User: "cy"}.Read(t.Context(), people)
	if err != nil || len(got.Allocations) != 2 || got.Allocations[0].User != "1003" || got.Allocations[1].User != "cy" || got.Allocations[1].Nodes.String() != "here.conf" {
		t.Errorf("%+v, %v", got, err)
	}
}

// What is said of a source: since when it fails, how old what is in force is, and what
// was not understood.
func TestSourceState(t *testing.T) {
	c := &clock{time.Unix(1_000_000, 0)}
	a := New(Rules{}, people, c.now)
	f := follower{a: a, src: Source{File: "/f"}.withDefaults(), log: slog.New(slog.DiscardHandler), began: c.now()}
	parse := func(text string) Table {
		t.Helper()
		table, err := ParseAllocations("f", []byte(text), time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	f.have(t.Context(), parse("ann n1\ncy n2\n"))
	if s := a.Source(); !s.Well() || s.Count != 2 || !s.Read.Equal(c.t) {
		t.Errorf("well: %+v", s)
	}
	c.t = c.t.Add(time.Minute)
	f.have(t.Context(), parse("ann n1\n\nbobb n2\nann x y z\n4711 n3\n"))
	s := a.Source()
	if s.Well() || s.Bad.Count != 1 || s.Bad.First.Line != 4 || len(s.Unknown) != 1 || s.Unknown[0] != "bobb (line 3; did you mean bob?)" {
		t.Errorf("with mistakes: %+v", s)
	}
	read := c.t
	for range 3 {
		c.t = c.t.Add(3 * time.Minute)
		f.fail(&command.Error{Argv: []string{"/usr/bin/squeue"}, Brief: "exited 1", Complaint: "of bob's"})
	}
	s = a.Source()
	if s.Well() || !s.Read.Equal(read) || !s.Since.Equal(read.Add(3*time.Minute)) || s.Over || s.Brief() != "command exited 1" || s.Bad.Count != 1 {
		t.Errorf("failing: %+v", s)
	}
	if got := len(a.state.Load().allocations); got != 3 {
		t.Errorf("%d allocations while it fails", got)
	}
	c.t = c.t.Add(3 * time.Minute)
	f.fail(errors.New("x"))
	if s = a.Source(); !s.Over || len(a.state.Load().allocations) != 0 {
		t.Errorf("over: %+v", s)
	}
	f.have(t.Context(), f.table)
	if s = a.Source(); s.Over || s.Err != nil || len(a.state.Load().allocations) != 3 {
		t.Errorf("the same table again: %+v, %d allocations", s, len(a.state.Load().allocations))
	}
	if a.NoSource(); a.Source() != nil || len(a.state.Load().allocations) != 0 {
		t.Error("without a source there is one")
	}
}

// A new source begins with nothing of the one before: an empty table empties, and
// one that cannot be had ends what was, after its time.
func TestFollowAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, src := range []Source{{File: path}, {File: path + ".none"}, {Command: []string{"/bin/false"}}} {
		a := New(Rules{Views: []View{{For: []Principal{{Kind: Anyone}}, Nodes: Nodes{Allocated: true}}}}, people, nil)
		a.SetAllocations([]Allocation{{User: "ann", Nodes: set(t, "n1")}})
		ctx, cancel := context.WithCancel(t.Context())
		src.Interval, src.MaxAge = 10*time.Millisecond, 100*time.Millisecond
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			Follow(ctx, a, src, slog.New(slog.DiscardHandler))
		}()
		eventually(t, "nothing is allocated any more", func() bool { return a.Scope(user(1001)).Nodes.Len() == 0 })
		cancel()
		<-ended
	}
}

// A file that cannot be read to its end, as on a file server that does not answer, is
// given up after its time, and looked at again when it can be.
func TestFollowStuckFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "allocations")
	good := filepath.Join(dir, "good")
	if err := os.WriteFile(good, []byte("ann n1 -\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	src := Source{File: path, Timeout: 50 * time.Millisecond}.withDefaults()
	stuck := make(chan read)
	r := reading{done: stuck} // as if a look had been made that does not end
	if table, err := r.of(t.Context(), src, people); err == nil || !strings.Contains(err.Error(), "no answer after") {
		t.Errorf("%v, %v", table, err)
	}
	src.File = good
	go func() { stuck <- read{table: Table{Allocations: []Allocation{{User: "old"}}}} }()
	table, err := r.of(t.Context(), src, people)
	if err != nil || len(table.Allocations) != 1 || table.Allocations[0].User != "ann" {
		t.Errorf("afterwards: %v, %v", table, err)
	}
}
