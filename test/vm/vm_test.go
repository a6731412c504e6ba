//go:build vm

package vm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/vm/report"
)

// deadline bounds the whole life of the machine. It takes a minute where nothing
// else runs.
const deadline = 8 * time.Minute

// Linux's own client on the tree: the guest's checks, each a subtest.
func TestKernelClient(t *testing.T) {
	if _, err := exec.LookPath(qemu); err != nil {
		t.Fatalf("%v: it is in the Debian package qemu-system-x86 (run: make test-vm, which installs it)", err)
	}
	kernel := kernelDir(t)
	start := time.Now()
	image := makeImage(t, kernel)
	t.Logf("the image took %.1f s", time.Since(start).Seconds())
	console := filepath.Join(t.TempDir(), "console")
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	start = time.Now()
	ran := boot(ctx, filepath.Join(kernel, "vmlinux"), image, console)
	t.Logf("the machine ran for %.1f s", time.Since(start).Seconds())
	text, err := os.ReadFile(console)
	if err != nil {
		t.Fatal(err)
	}
	results := report.Parse(string(text))
	ended := false
	for _, r := range results {
		if r.Name == report.End {
			ended = true
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			if r.Failed {
				t.Error(r.Detail)
				return
			}
			t.Logf("%.2f s in the guest %s", r.Took.Seconds(), r.Detail)
		})
	}
	if !ended || ran != nil {
		t.Errorf("the guest did not get to its end (%d checks did, qemu: %v); the console ends with\n%s", len(results), ran, tail(string(text), 60))
	}
}

// tail is the end of a text.
func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// kernelDir is where the make target has put the kernel.
func kernelDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../bin/vm")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "package"))
	}
	if err != nil {
		t.Fatalf("there is no kernel to boot: %v (run: make test-vm, which gets one)", err)
	}
	return dir
}
