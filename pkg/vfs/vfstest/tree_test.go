package vfstest

import (
	"bytes"
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// upper is an rpc file's answer.
func upper(_ context.Context, _ vfs.Identity, request []byte) ([]byte, error) {
	return bytes.ToUpper(request), nil
}

// sample is a tree with one of each thing that a tree can hold.
func sample() *Tree {
	t := NewTree()
	t.Put("1/stat", File{Data: []byte("1 (init) S 0"), Hold: time.Second, NoSize: true})
	t.Put("1/status", File{Stat: Stat{Keep: time.Second}, Data: bytes.Repeat([]byte("Name:\tinit\n"), 1000), Stream: true})
	t.Put("1/maps", File{Read: Counter("version %d\n")})
	t.Put("1/environ", File{Read: PerUser("UID=%d"), Stat: Stat{UID: 1001, Perm: 0o400}})
	t.Put("1/exe", Link{Target: "/sbin/init (deleted)"})
	t.Put("1/empty", File{Hold: time.Second})
	t.Put("2/cwd", Link{Target: "/"})
	t.Put("2", Dir{MissingKeep: time.Second})
	t.Put("nothing", Dir{})
	t.Put("self", Link{Target: "1"})
	t.Put("secret", Dir{Stat: Stat{Only: []uint32{1001}}})
	t.Put("sweep", File{RPC: upper})
	return t
}

func TestTreeInMemory(t *testing.T) {
	ctx := t.Context()
	tree := sample()
	root, err := tree.Attach(ctx, vfs.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	dir := root.(vfs.Dir)
	if _, err := dir.Walk(ctx, "secret"); vfs.Errno(err) != syscall.ENOENT {
		t.Errorf("walk of another user's name: %v", err)
	}

	held, _, err := vfs.OpenPath(ctx, dir, "1", "stat")
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := vfs.WalkPath(ctx, dir, "1", "stat")
	tree.Change("1/stat", File{Data: []byte("new")})
	if got, _ := vfs.ReadAll(ctx, held, 100); string(got) != "1 (init) S 0" {
		t.Errorf("an open file changed to %q", got)
	}
	if after, _, _ := vfs.WalkPath(ctx, dir, "1", "stat"); after.ID() != before.ID() {
		t.Error("Change changed the id")
	}
	tree.Put("1/stat", File{})
	if after, _, _ := vfs.WalkPath(ctx, dir, "1", "stat"); after.ID() == before.ID() {
		t.Error("Put kept the id")
	}
	if _, err := before.Attr(ctx); vfs.Errno(err) != syscall.ENOENT {
		t.Errorf("attributes of what was replaced: %v", err)
	}

	if tree.Handles() != 1 {
		t.Errorf("%d handles, not 1", tree.Handles())
	}
	held.Close()
	held.Close()
	dir.Walk(ctx, "..")
	if got := tree.Violations(); tree.Handles() != 0 || len(got) != 2 {
		t.Errorf("%d handles and these violations, not 0 and 2: %q", tree.Handles(), got)
	}
}

func TestRPC(t *testing.T) {
	ctx := t.Context()
	root, _ := sample().Attach(ctx, vfs.Root, "")
	h, _, err := vfs.OpenPath(ctx, root.(vfs.Dir), "sweep")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	w := h.(vfs.Writer)
	w.WriteAt(ctx, []byte("quest"), 2)
	w.WriteAt(ctx, []byte("re"), 0)
	if got, err := vfs.ReadAll(ctx, h, 100); string(got) != "REQUEST" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := w.WriteAt(ctx, []byte("x"), 0); vfs.Errno(err) != syscall.EINVAL {
		t.Errorf("write after the answer: %v", err)
	}
}

func TestBefore(t *testing.T) {
	tree := sample()
	tree.Before(func(ctx context.Context, op Op, path string) error {
		switch {
		case op == OpRead && path == "1/stat":
			return syscall.EIO
		case op == OpWalk && path == "2":
			return Block(ctx)
		}
		return nil
	})
	root, _ := tree.Attach(t.Context(), vfs.Root, "")
	dir := root.(vfs.Dir)
	h, _, err := vfs.OpenPath(t.Context(), dir, "1", "stat")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := h.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("read: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := dir.Walk(ctx, "2"); vfs.Errno(err) != syscall.ETIMEDOUT {
		t.Errorf("walk: %v", err)
	}
}
