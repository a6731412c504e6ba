package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// journalFile is a file that stands for the journal's stream, as the environment says.
func journalFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", st.Dev, st.Ino))
	return f
}

func TestLogOfTheJournal(t *testing.T) {
	f := journalFile(t)
	log := NewLogger(f, slog.LevelInfo)
	log.Debug("nobody asks for this")
	log.Info("serving", "nodes", 3)
	log.With("node", "n1").WithGroup("g").Warn("two\nlines", "time", "12:00")
	log.Error("bad")
	log.Log(t.Context(), slog.LevelError+4, "worse")
	fmt.Fprintln(f, Complaint(f, "aggrfs: line 1\nline 2"))
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := `<6>level=INFO msg=serving nodes=3
<4>level=WARN msg="two\nlines" node=n1 g.time=12:00
<3>level=ERROR msg=bad
<3>level=ERROR+4 msg=worse
<3>aggrfs: line 1
<3>line 2
`
	if string(got) != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// What is not the journal's stream has times and no priorities, also where the environment says
// that there is a journal: stderr may be a file by now.
func TestLogElsewhere(t *testing.T) {
	journalFile(t)
	other, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	NewLogger(other, slog.LevelInfo).Warn("here")
	got, err := os.ReadFile(other.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(got), "time=") || !strings.HasSuffix(string(got), "level=WARN msg=here\n") {
		t.Errorf("%q", got)
	}
	var buf bytes.Buffer
	NewLogger(&buf, slog.LevelInfo).Warn("here")
	if !strings.HasPrefix(buf.String(), "time=") {
		t.Errorf("%q", buf.String())
	}
	if got := Complaint(other, "aggrfs: no"); got != "aggrfs: no" {
		t.Errorf("%q", got)
	}
}

// managed is a service manager's socket, and what it was told.
func managed(t *testing.T) func() string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func TestManager(t *testing.T) {
	next := managed(t)
	m := NewManager(slog.New(slog.DiscardHandler))
	m.Ready()
	m.Status("3 up")
	m.Reloading()
	m.Stopping()
	for _, want := range []string{"READY=1", "STATUS=3 up", "RELOADING=1\nMONOTONIC_USEC=", "STOPPING=1"} {
		if got := next(); !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	m.Watch(t.Context(), func(context.Context) error { t.Error("nobody wants to know"); return nil })
}

// A process is said to be alive for as long as it answers itself, and no longer.
func TestWatchdog(t *testing.T) {
	next := managed(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	m := NewManager(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	asked := 0
	go func() {
		defer close(left)
		m.Watch(ctx, func(ctx context.Context) error {
			switch asked++; {
			case asked <= 2:
				return nil
			case asked == 3:
				<-ctx.Done() // it hangs
				return ctx.Err()
			case asked == 4:
				m.Status("it hung")
			case asked == 10:
				cancel()
			}
			return errors.New("it does not answer")
		})
	}()
	for _, want := range []string{"WATCHDOG=1", "WATCHDOG=1", "STATUS=it hung"} {
		if got := next(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	<-left
}

// Another process' watchdog is none of this one's: its parent may have had one.
func TestWatchdogOfAnother(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "1")
	if m := NewManager(slog.New(slog.DiscardHandler)); m.interval != 0 {
		t.Errorf("told every %v", m.interval)
	}
	t.Setenv("WATCHDOG_USEC", "soon")
	var log bytes.Buffer
	if m := NewManager(slog.New(slog.NewTextHandler(&log, nil))); m.interval != 0 || !strings.Contains(log.String(), "WATCHDOG_USEC") {
		t.Errorf("%v: %s", m.interval, &log)
	}
}
