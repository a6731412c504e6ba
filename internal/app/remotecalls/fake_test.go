package remotecalls

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A fake is a tree with processes of one node, and cluster/ctl.
type fake struct {
	mu        sync.Mutex
	requested []string // "UID: request"
	answers   map[string]string
	root      *fakeDir
	hang      chan struct{} // closed; a ctl that hangs waits for it
	readers   []uint32
	refuses   map[uint32]bool // who attaches to it in vain
	acting    bool            // there is a cluster/ctl
}

func newFake() *fake {
	f := &fake{answers: make(map[string]string), root: dir(1, nil), acting: true}
	f.root.entries["cluster"] = dir(2, map[string]vfs.Node{"where": dir(3, nil)})
	f.root.entries["sets"] = dir(4, map[string]vfs.Node{"n1": f.root})
	return f
}

// process adds a process of a user.
func (f *fake) process(pid, tgid, group int, uid uint32, nice int, policy string) {
	stat := fmt.Sprintf("%d (a ) b) S 1 %d %d 0 -1 4194304 0 0 0 0 1 2 0 0 20 %d 1 0 777 1000 10 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 %s 0 0 0 0 0 0 0 0 0 0 0\n", pid, group, group+1, nice, policy)
	status := fmt.Sprintf("Name:\ta\nTgid:\t%d\nPid:\t%d\nUid:\t%[3]d\t%[3]d\t%[3]d\t%[3]d\nGid:\t%[3]d\t%[3]d\t%[3]d\t%[3]d\nCpus_allowed:\t1,00000005\n", tgid, pid, uid)
	limits := "Limit                     Soft Limit           Hard Limit           Units     \nMax cpu time              unlimited            unlimited            seconds   \nMax open files            1024                 4096                 files     \n"
	p := dir(uint64(pid)*10, map[string]vfs.Node{"stat": file(stat), "status": file(status), "limits": file(limits)})
	f.root.entries[fmt.Sprint(pid)] = p
	f.root.entries["cluster"].(*fakeDir).entries["where"].(*fakeDir).entries[fmt.Sprint(pid)] = file(fmt.Sprintf("NODE  PID  GPID  USER  COMMAND\nn1    7    %d    1001  a\n", pid))
	if tgid != pid {
		leader := f.root.entries[fmt.Sprint(tgid)].(*fakeDir)
		tasks, ok := leader.entries["task"].(*fakeDir)
		if !ok {
			tasks = dir(uint64(tgid)*10+1, nil)
			leader.entries["task"] = tasks
		}
		tasks.entries[fmt.Sprint(pid)] = p
	}
}

func (f *fake) tree(_ context.Context, who vfs.Identity, acts bool) (vfs.Dir, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuses[who.UID] {
		return nil, syscall.EACCES
	}
	if !acts {
		f.readers = append(f.readers, who.UID)
		return f.root, nil
	}
	root := dir(1, nil)
	root.entries["cluster"] = dir(2, nil)
	if f.acting {
		root.entries["cluster"].(*fakeDir).entries["ctl"] = &fakeCtl{f, who}
	}
	return root, nil
}

// requests are what cluster/ctl was asked since the last time.
func (f *fake) requests() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.requested = nil }()
	return strings.Join(f.requested, "; ")
}

type fakeNode struct {
	id   uint64
	kind vfs.Type
}

func (n fakeNode) ID() uint64     { return n.id }
func (n fakeNode) Type() vfs.Type { return n.kind }
func (n fakeNode) Attr(context.Context) (vfs.Attr, error) {
	return vfs.Attr{ID: n.id}, nil
}

type fakeDir struct {
	fakeNode
	entries map[string]vfs.Node
}

func dir(id uint64, entries map[string]vfs.Node) *fakeDir {
	if entries == nil {
		entries = make(map[string]vfs.Node)
	}
	return &fakeDir{fakeNode{id, vfs.TypeDir}, entries}
}

func (d *fakeDir) Walk(_ context.Context, name string) (vfs.Node, error) {
	if n := d.entries[name]; n != nil {
		return n, nil
	}
	return nil, syscall.ENOENT
}

func (d *fakeDir) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(context.Context) ([]vfs.DirEntry, error) {
		var all []vfs.DirEntry
		for i, name := range slices.Sorted(maps.Keys(d.entries)) {
			n := d.entries[name]
			all = append(all, vfs.DirEntry{Name: name, ID: n.ID(), Type: n.Type(), Next: uint64(i) + 1})
		}
		return all, nil
	}), nil
}

type fakeFile struct {
	fakeNode
	content string
}

func file(content string) *fakeFile { return &fakeFile{fakeNode{99, vfs.TypeFile}, content} }

func (f *fakeFile) Open(context.Context) (vfs.Handle, error) {
	return vfs.NewBytes([]byte(f.content), 0), nil
}

// A fakeCtl is cluster/ctl as somebody has it.
type fakeCtl struct {
	f   *fake
	who vfs.Identity
}

func (c *fakeCtl) ID() uint64     { return 98 }
func (c *fakeCtl) Type() vfs.Type { return vfs.TypeFile }
func (c *fakeCtl) Attr(context.Context) (vfs.Attr, error) {
	return vfs.Attr{ID: 98}, nil
}
func (c *fakeCtl) Open(context.Context) (vfs.Handle, error) { return &fakeRequest{c: c}, nil }

type fakeRequest struct {
	c    *fakeCtl
	text string
}

func (r *fakeRequest) WriteAt(_ context.Context, p []byte, _ int64) (int, error) {
	r.text += string(p)
	return len(p), nil
}

func (r *fakeRequest) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	f := r.c.f
	if off == 0 {
		f.mu.Lock()
		request := strings.TrimSuffix(strings.TrimPrefix(r.text, "1 "), "\n")
		f.requested = append(f.requested, fmt.Sprintf("%d: %s", r.c.who.UID, request))
		hang, answer := f.hang, f.answers[fmt.Sprintf("%d: %s", r.c.who.UID, request)]
		if answer == "" {
			answer = f.answers[fmt.Sprint(r.c.who.UID)]
		}
		f.mu.Unlock()
		if hang != nil {
			select {
			case <-hang:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		if answer == "" {
			answer = "ok"
		}
		r.text = "1 " + answer + "\n"
	}
	if off >= int64(len(r.text)) {
		return 0, nil
	}
	return copy(p, r.text[off:]), nil
}

func (r *fakeRequest) Close() error { return nil }

func eq(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
