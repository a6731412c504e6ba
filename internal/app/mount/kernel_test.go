package mount

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/app/client"
)

// A kernel without the client is told apart from one that has not loaded it yet,
// and the message names the mount that works.
func TestNeed9P(t *testing.T) {
	file := filepath.Join(t.TempDir(), "filesystems")
	write := func(text string) error { return os.WriteFile(file, []byte(text), 0o644) }
	if err := write("nodev\tsysfs\nnodev\tfuse\n\t\text4\nnodev\t9pfoo\n"); err != nil {
		t.Fatal(err)
	}
	loads := 0
	k := kernel{filesystems: file, load: func(context.Context, string) error {
		loads++
		return errors.New("FATAL: Module 9p not found")
	}}
	err := k.need9P(t.Context(), "/global")
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"no 9P client", file, "Module 9p not found", "FUSE", `"aggrfs mount /global"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	k.load = func(context.Context, string) error { return write("nodev\t9p\n") }
	if err := k.need9P(t.Context(), "/global"); err != nil {
		t.Errorf("once loaded: %v", err)
	}
	k.load = func(context.Context, string) error { t.Error("loaded although it is there"); return nil }
	if err := k.need9P(t.Context(), "/global"); err != nil || loads != 1 {
		t.Errorf("%v, %d loads", err, loads)
	}
	k.filesystems += "x"
	if err := k.need9P(t.Context(), "/global"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a list: %v", err)
	}
}

func TestMountOptions(t *testing.T) {
	for _, tc := range []struct {
		src    client.Source
		shared bool
		socket string
		data   string // or what the error says
	}{
		{client.Source{}, false, "/run/aggrfs/aggrfs.sock", "trans=unix,version=9p2000.L,cache=none,access=0,msize=65536"},
		{client.Source{Server: "unix:/tmp/a.sock", Nodes: []string{"n[1-3]"}}, true, "/tmp/a.sock", "trans=unix,version=9p2000.L,cache=none,access=user,msize=65536,aname=/sets/n[1-3]"},
		{client.Source{Nodes: []string{"n1,n3"}}, false, "", "no comma"},
		{client.Source{Nodes: []string{"n["}}, false, "", "--nodes"},
		{client.Source{Server: "tls:10.1.0.1:5641"}, false, "", "unix: address"},
		{client.Source{Server: "nonsense"}, false, "", "--server"},
		{client.Source{As: "ann"}, false, "", "--as"},
		{client.Source{Config: "/etc/aggrfs/aggrfs.yaml"}, false, "", "start aggrfs serve"},
	} {
		tc.src.Env = &client.Env{DefaultServer: "unix:/run/aggrfs/aggrfs.sock"}
		addr, err := kernelAddress(&tc.src)
		var path, data string
		if err == nil {
			path, err = tc.src.RootPath(t.Context(), nil)
		}
		if err == nil {
			data, err = kernelOptions(path, tc.shared)
		}
		if tc.socket == "" {
			if err == nil || !strings.Contains(err.Error(), tc.data) {
				t.Errorf("%+v: %v", tc.src, err)
			}
			continue
		}
		if err != nil || addr.Address != tc.socket || data != tc.data {
			t.Errorf("%+v: %q, %q, %v", tc.src, addr, data, err)
		}
	}
}

func TestMountNumbers(t *testing.T) {
	id, err := mountID("/proc")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || !strings.Contains("\n"+string(table), "\n"+id+" ") {
		t.Errorf("no mount has the number %q: %v\n%s", id, err, table)
	}
	if there, err := isMounted(id); there || err != nil {
		t.Errorf("the procfs is a 9P mount: %v", err)
	}
	if err := unmount9P(t.TempDir()); err != nil {
		t.Errorf("nothing to unmount: %v", err)
	}
}
