package caller

import (
	"os"
	"os/exec"
	"testing"
)

// A thread that does not wait for a link's text does not read one: one that sleeps, and one that
// there is not. (That one which does is known for it, test/e2e tries with real programs.)
func TestReadsLink(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	if ReadsLink("/proc", uint32(cmd.Process.Pid)) || ReadsLink("/proc", 1<<30) {
		t.Error("a thread that reads a pipe, or is none, reads a link")
	}
	dir := t.TempDir()
	for text, want := range map[string]bool{"267 0x1": isReadlink(267), "running\n": false, "-1 0x0 0x0\n": false, "": false} {
		if err := os.MkdirAll(dir+"/7", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/7/syscall", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := ReadsLink(dir, 7); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
