package service

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// NewLogger logs from a level on to a file, a record a line. Where the file is the journal's
// the lines begin with their priority, and have no time, since the journal has it.
func NewLogger(to io.Writer, level slog.Leveler) *slog.Logger {
	if !isJournal(to, os.Getenv("JOURNAL_STREAM")) {
		return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(journal(to, level))
}

// Complaint is a text that says why the program ends, as it is to be written to a file: where
// that is the journal's, each of its lines is an error there.
func Complaint(to io.Writer, text string) string {
	if !isJournal(to, os.Getenv("JOURNAL_STREAM")) {
		return text
	}
	before := prefix(slog.LevelError)
	return before + strings.ReplaceAll(text, "\n", "\n"+before)
}

// isJournal reports whether a file is the stream that the service manager has connected to the
// journal: it says which one that is in $JOURNAL_STREAM, as DEVICE:INODE, and the program may
// have another one by now.
func isJournal(to io.Writer, stream string) bool {
	f, ok := to.(*os.File)
	if !ok || stream == "" {
		return false
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var st unix.Stat_t
	if conn.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) }) != nil || err != nil {
		return false
	}
	return stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// prefix is that of a line of that level: its priority, as syslog(3) has it.
func prefix(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "<3>"
	case level >= slog.LevelWarn:
		return "<4>"
	case level >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}

// levels are those that a line may have a prefix of.
var levels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// A journalHandler has a handler for each level, which writes the prefix.
type journalHandler map[slog.Level]slog.Handler

func journal(to io.Writer, level slog.Leveler) slog.Handler {
	h := journalHandler{}
	for _, l := range levels {
		h[l] = slog.NewTextHandler(prefixed{to, prefix(l)}, &slog.HandlerOptions{Level: level, ReplaceAttr: withoutTime})
	}
	return h
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// of is the handler of a level.
func (h journalHandler) of(level slog.Level) slog.Handler {
	nearest := levels[0]
	for _, l := range levels {
		if level >= l {
			nearest = l
		}
	}
	return h[nearest]
}

// Enabled implements slog.Handler.
func (h journalHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.of(level).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.each(func(one slog.Handler) slog.Handler { return one.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h journalHandler) WithGroup(name string) slog.Handler {
	return h.each(func(one slog.Handler) slog.Handler { return one.WithGroup(name) })
}

func (h journalHandler) each(f func(slog.Handler) slog.Handler) slog.Handler {
	with := make(journalHandler, len(h))
	for level, one := range h {
		with[level] = f(one)
	}
	return with
}

// prefixed writes something before each line. A handler writes a line a call, so that lines of
// several handlers do not mix: write(2) of so few bytes to a socket is whole.
type prefixed struct {
	to     io.Writer
	before string
}

// Write implements io.Writer.
func (p prefixed) Write(line []byte) (int, error) {
	n, err := p.to.Write(append([]byte(p.before), line...))
	return max(0, n-len(p.before)), err
}
