package snapshot

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// TestRefusedRequest: who writes what is no request is told, as often as they like, and
// nobody else is.
func TestRefusedRequest(t *testing.T) {
	lines := new(bytes.Buffer)
	d := NewDir(vfs.Attr{ID: 1}, slog.New(slog.NewTextHandler(lines, nil)), func(context.Context, Request) ([]byte, error) {
		t.Error("it was asked for")
		return nil, nil
	})
	n, err := d.Walk(t.Context(), SweepFile)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		h, err := n.(vfs.File).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.(RPC).WriteAt(t.Context(), []byte("junkjunk"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := h.ReadAt(t.Context(), make([]byte, 100), 0); !errors.Is(err, syscall.EINVAL) {
			t.Fatalf("read: %v", err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if lines.Len() > 0 {
		t.Errorf("logged %d bytes: %.200s", lines.Len(), lines)
	}
}
