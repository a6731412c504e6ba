package certs

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// A logText collects log lines.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take is what was logged since the last time.
func (l *logText) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func newLog() (*logText, *slog.Logger) {
	l := new(logText)
	return l, slog.New(slog.NewTextHandler(l, nil))
}

// issued are the files of a new certificate.
func issued(t *testing.T, ca *CA, name string, days int) Files {
	t.Helper()
	if _, err := ca.Issue(name, days); err != nil {
		t.Fatal(err)
	}
	return Files{ca.path(name + ".crt"), ca.path(name + ".key"), ca.path("ca.crt")}
}

// TestRenewal changes files under a store.
func TestRenewal(t *testing.T) {
	ca := newCA(t)
	files := issued(t, ca, "n1", 100)
	lines, log := newLog()
	s, err := Open(files, log)
	if err != nil {
		t.Fatal(err)
	}
	first := s.Current()
	if first.Name() != "n1" || s.Current() != first {
		t.Errorf("it is %s's, or another each time", first.Name())
	}
	if got := lines.take(); got != "" {
		t.Errorf("logged: %s", got)
	}

	issued(t, ca, "n1", 200)
	second := s.Current()
	if second == first || second.Certificate.Leaf.SerialNumber.Cmp(first.Certificate.Leaf.SerialNumber) == 0 {
		t.Error("it is not renewed")
	}
	if got := lines.take(); strings.Count(got, "read again") != 1 {
		t.Errorf("logged: %s", got)
	}

	// Whatever is wrong, what there was stays in force, and one line says so.
	good := map[string][]byte{}
	for _, path := range []string{files.Cert, files.Key, files.CA} {
		good[path], _ = os.ReadFile(path)
	}
	other, _ := os.ReadFile(issued(t, newCA(t), "n1", 10).Cert)
	for what, c := range map[string]struct {
		file  string
		spoil func(path string) error
		want  string
	}{
		"garbage":            {files.Cert, put("x"), "no certificate"},
		"empty":              {files.Cert, put(""), "no certificate"},
		"half":               {files.Cert, put(string(good[files.Cert][:200])), "cut off"},
		"another's":          {files.Cert, put(string(other)), "does not match"},
		"no key":             {files.Key, os.Remove, "no such file"},
		"half a key":         {files.Key, put(string(good[files.Key][:100])), "key input"},
		"an open key":        {files.Key, func(p string) error { return os.Chmod(p, 0o644) }, "chmod 600"},
		"a group's key":      {files.Key, func(p string) error { return os.Chmod(p, 0o640) }, "chmod 600"},
		"another user's key": {files.Key, func(p string) error { return os.Chown(p, 1001, 0) }, "another user"},
		"half a CA":          {files.CA, put(string(good[files.CA]) + string(good[files.CA][:200])), "cut off"},
		"a bad CA":           {files.CA, put("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "certificate 1"},
		"a key as CA":        {files.CA, put(string(good[files.Key])), "no certificate"},
		"a directory":        {files.CA, func(p string) error { os.Remove(p); return os.Mkdir(p, 0o755) }, "no regular file"},
		"a pipe":             {files.CA, func(p string) error { os.Remove(p); return unix.Mkfifo(p, 0o644) }, "no regular file"},
		"large":              {files.CA, put(strings.Repeat("x", maxFile+1)), "more than"},
	} {
		t.Run(what, func(t *testing.T) {
			if err := c.spoil(c.file); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				if s.Current() != second {
					t.Fatal("what there was is not in force")
				}
			}
			if got := lines.take(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, c.want) || strings.Count(got, "\n") != 1 {
				t.Errorf("logged: %swant one line with %q", got, c.want)
			}
			if _, err := Open(files, log); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.file) {
				t.Errorf("at the start: %v", err)
			}
			os.RemoveAll(c.file)
			os.WriteFile(c.file, good[c.file], 0o600)
			if s.Current() != second {
				t.Error("the same content is another certificate")
			}
			if got := lines.take(); got != "" {
				t.Errorf("logged: %s", got)
			}
		})
	}

	more, _ := os.ReadFile(newCA(t).path("ca.crt"))
	os.WriteFile(files.CA, append(good[files.CA], more...), 0o644)
	if third := s.Current(); third == second || third.CAs.Equal(second.CAs) {
		t.Error("a second CA is not noticed")
	}
}

func put(text string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
}

// TestRenewalInPlace rewrites a file faster than the clock of a file system goes,
// with content of the same length.
func TestRenewalInPlace(t *testing.T) {
	ca := newCA(t)
	now := time.Now()
	pairs := [2][2][]byte{}
	for i := range pairs {
		for i == 0 || pairs[i][0] == nil || len(pairs[i][0]) != len(pairs[0][0]) {
			c, k, err := ca.Sign("n1", now.Add(-time.Hour), now.Add(100*24*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if pairs[i] = [2][]byte{c, k}; i == 0 {
				break
			}
		}
	}
	dir := t.TempDir()
	files := Files{filepath.Join(dir, "c"), filepath.Join(dir, "k"), ca.path("ca.crt")}
	write := func(i int) {
		t.Helper()
		for k, path := range []string{files.Cert, files.Key} {
			if err := os.WriteFile(path, pairs[i][k], 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(0)
	s, err := Open(files, discard)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		write(i % 2)
		if got := s.Current(); !bytes.Equal(got.Certificate.Certificate[0], certificate(t, files.Cert).Raw) {
			t.Fatalf("write %d is not noticed", i)
		}
	}
}

// TestLives: what is expired, or will be, is told.
func TestLives(t *testing.T) {
	ca := newCA(t)
	now := time.Now()
	const day = 24 * time.Hour
	for want, life := range map[string][2]time.Duration{
		"has expired": {-2 * day, -day}, "not good yet": {day, 200 * day}, "ends soon": {-day, 29 * day}, "": {-day, 31 * day},
	} {
		dir := t.TempDir()
		c, k, err := ca.Sign("n1", now.Add(life[0]), now.Add(life[1]))
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(dir+"/c", c, 0o600)
		os.WriteFile(dir+"/k", k, 0o600)
		lines, log := newLog()
		if _, err := Open(Files{dir + "/c", dir + "/k", ca.path("ca.crt")}, log); err != nil {
			t.Fatal(err)
		}
		if got := lines.take(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
	for _, f := range []Files{{}, {Cert: "a"}, {Cert: "a", Key: "b"}, {Key: "b", CA: "c"}} {
		if _, err := Open(f, discard); err == nil || !strings.Contains(err.Error(), "all three") {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// TestConcurrent renews while others look.
func TestConcurrent(t *testing.T) {
	ca := newCA(t)
	files := issued(t, ca, "n1", 10)
	s, err := Open(files, discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if set := s.Current(); set.Name() != "n1" {
					t.Error(fmt.Errorf("%s", set.Name()))
				}
			}
		})
	}
	for range 50 {
		issued(t, ca, "n1", 10)
	}
	close(done)
	work.Wait()
	if got, want := s.Current().Certificate.Leaf, certificate(t, files.Cert); !got.Equal(want) {
		t.Error("the last one is not in force")
	}
}
