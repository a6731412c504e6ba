package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/figures"
)

const (
	leafProcs  = 500
	leafRounds = 20 // seconds
	leafMemory = 32 << 20
)

// leafFiles are what a front end asks for.
var leafFiles = []string{"stat", "statm", "status", "cmdline"}

// leafCost prints the CPU time that procsrv takes for a sweep a second of a node with
// 500 real processes, against that of a minimal loop that opens, reads and closes the
// same files on the same node, and its memory.
func leafCost(ctx context.Context, _ size) (err error) {
	c, err := cluster.Start(ctx, cluster.Options{
		Nodes: 1, ProcsrvPath: "bin/procsrv", Many: leafProcs,
		Workload: func(string) []cluster.Process { return nil },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	n := c.Nodes[0]
	leaf, err := n.HostPID(n.LeafPID())
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// The node has a /run of its own.
	if err := copyFile(filepath.Join(n.Root, "run/scale"), self); err != nil {
		return err
	}
	cmd := n.Command(ctx, "/run/scale", "bare")
	out := make(chan string, 1)
	go func() {
		text, err := cmd.Output()
		out <- strings.TrimSpace(fmt.Sprint(string(text), errText(err)))
	}()
	before, err := cpuTime(leaf)
	if err != nil {
		return err
	}
	if err := sweepLeaf(ctx, n.Address); err != nil {
		return err
	}
	after, err := cpuTime(leaf)
	if err != nil {
		return err
	}
	text := <-out
	theirs, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("the bare loop says %q", text)
	}
	figures.Print("leaf-cost", (after-before)/leafRounds, time.Duration(theirs)/leafRounds)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", leaf))
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(status), "\nVmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return err
	}
	figures.Ratio("leaf-memory", fmt.Sprintf("%dKiB", kib), fmt.Sprintf("%dKiB", leafMemory>>10), float64(kib<<10)/leafMemory)
	return nil
}

func errText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}

// sweepLeaf asks a leaf once a second for what has changed.
func sweepLeaf(ctx context.Context, address string) error {
	up, err := dial(address)(ctx)
	if err != nil {
		return err
	}
	defer up.Close()
	root, err := up.Attach(ctx, vfs.Root, "snapshot")
	if err != nil {
		return err
	}
	file, err := root.(vfs.Dir).Walk(ctx, snapshot.SweepFile)
	if err != nil {
		return err
	}
	h, err := openRPC(ctx, file)
	if err != nil {
		return err
	}
	defer h.Close()
	var table *snapshot.Table
	for range leafRounds {
		start := time.Now()
		if table, err = snapshot.Fetch(ctx, h, snapshot.Request{Files: leafFiles, Remember: true}, table, snapshot.Limits{}); err != nil {
			return err
		}
		if table.Len() < leafProcs {
			return fmt.Errorf("a sweep has %d processes", table.Len())
		}
		time.Sleep(time.Second - time.Since(start))
	}
	return nil
}

// cpuTime is the CPU time that a process has had.
func cpuTime(pid int) (total time.Duration, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			return 0, err
		}
		total += time.Duration(ns)
	}
	return total, nil
}

// bareLoop reads the files of all processes once a second and prints the CPU time that
// it took, in ns.
func bareLoop() error {
	buf := make([]byte, 64<<10)
	var total int64
	for range leafRounds {
		start := time.Now()
		var before, after unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &before); err != nil {
			return err
		}
		dir, err := os.Open("/proc")
		if err != nil {
			return err
		}
		names, err := dir.Readdirnames(-1)
		dir.Close()
		if err != nil {
			return err
		}
		for _, name := range names {
			if name[0] < '0' || name[0] > '9' {
				continue
			}
			for _, file := range leafFiles {
				fd, err := unix.Open("/proc/"+name+"/"+file, unix.O_RDONLY, 0)
				if err != nil {
					continue
				}
				_, _ = unix.Read(fd, buf)
				unix.Close(fd)
			}
		}
		if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &after); err != nil {
			return err
		}
		total += after.Nano() - before.Nano()
		time.Sleep(time.Second - time.Since(start))
	}
	fmt.Println(total)
	return nil
}

// openRPC opens an rpc file.
func openRPC(ctx context.Context, n vfs.Node) (snapshot.RPC, error) {
	h, err := ninep.OpenRW(ctx, n)
	if err != nil {
		return nil, err
	}
	return h.(snapshot.RPC), nil
}
