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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// A source is followed through change, breakage and return; what cannot be had
// any more ends after its time.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table")
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
		write("ann n[3\n", 0o644)
		eventually(t, "a bad table is logged", func() bool { return strings.Contains(out.String(), ":1:") })
		eventually(t, "nothing is allocated any more", has(""))
		write("ann n4\n", 0o644)
		eventually(t, "n4 is allocated", has("n4"))
		if src.File != "" {
			write("ann n5\n", 0o666)
			eventually(t, "a table that everybody can write is refused", func() bool { return strings.Contains(out.String(), "chmod o-w") })
		}
		if n := strings.Count(out.String(), "\n"); n > 8 {
			t.Errorf("%d lines were logged:\n%s", n, &out)
		}
		cancel()
		<-ended
	}
}

// A command that does not end, says too much or fails is ended and told of.
func TestBadCommand(t *testing.T) {
	for script, want := range map[string]string{
		"sleep 1000 & sleep 1000": "no end after", "echo no queue >&2; exit 3": "no queue", "yes ann n1": "no end after",
	} {
		_, err := Source{Command: []string{"/bin/sh", "-c", script}, Timeout: 300 * time.Millisecond}.Read(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
	}
	if _, err := (Source{Command: []string{"/no/such/program"}}).Read(t.Context()); err == nil {
		t.Error("a command that does not exist gave a table")
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
	if all, err := r.of(t.Context(), src); err == nil || !strings.Contains(err.Error(), "no answer after") {
		t.Errorf("%v, %v", all, err)
	}
	src.File = good
	go func() { stuck <- read{all: []Allocation{{User: "old"}}} }()
	all, err := r.of(t.Context(), src)
	if err != nil || len(all) != 1 || all[0].User != "ann" {
		t.Errorf("afterwards: %v, %v", all, err)
	}
}
