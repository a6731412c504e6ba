package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/foreign"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The real /proc as diod exports it makes a leaf.
func TestForeignDiod(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "diod")
	cmd := exec.Command("diod", "-f", "-n", "-c", "/dev/null", "-L", "/dev/null", "-e", "/proc", "-l", socket)
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (it is in the Debian package diod)", err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	listens(t, socket)
	// As aggrfs does, which knows of a node of kind 9p2000 no more: in 9P2000 first, to
	// which diod says Rlerror.
	client, err := ninep.NewClientOf(ctx, func(context.Context) (net.Conn, error) { return dial(t, socket), nil },
		ninep.ClientConfig{Foreign: true, Msize: 64 << 10, Log: quiet}, ninep.Dialects()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if client.Dialect() != "9P2000.L" {
		t.Errorf("diod speaks %s", client.Dialect())
	}
	leaf := foreign.New(client, foreign.Config{Aname: "/proc", Log: quiet}, "boot")
	n, err := leaf.Attach(ctx, vfs.Root, "snapshot")
	if err != nil {
		t.Fatal(err)
	}
	file, err := n.(vfs.Dir).Walk(ctx, snapshot.SweepFile)
	if err != nil {
		t.Fatal(err)
	}
	h, err := file.(vfs.File).Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	table, err := snapshot.Fetch(ctx, h.(snapshot.RPC), snapshot.Request{Files: []string{"stat", "statm", "status", "cmdline"}}, nil, snapshot.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	own, _ := strconv.ParseInt(ownPID(), 10, 32)
	i, ok := table.Find(int32(own))
	if !ok {
		t.Fatalf("this process is not among %d", table.Len())
	}
	want, err := os.ReadFile("/proc/self/cmdline")
	if got, errno := table.File(i, 3); err != nil || errno != 0 || !bytes.Equal(got, want) {
		t.Errorf("cmdline: %q, %v", got, errno)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	f := table.Facts()
	if err != nil || f.BootID != string(bytes.TrimSpace(boot)) || f.PageSize != os.Getpagesize() || f.BootTime.Before(time.Unix(1e9, 0)) {
		t.Errorf("facts: %+v", f)
	}
	if p := table.Proc(i); p.UID != 0 || p.ID == 0 {
		t.Errorf("%+v", p)
	}
}
