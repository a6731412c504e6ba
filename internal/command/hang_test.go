package command

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deaf is the variable of the environment that names a directory on which this program
// mounts, in a mount namespace of its own, a file system that answers nothing.
const deaf = "AGGRFS_COMMAND_DEAF"

func runDeaf(dir string) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Mount("deaf", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	start := time.Now()
	for _, argv := range [][]string{{dir + "/squeue"}, {"/bin/sh", "-c", "setsid cat " + dir + "/x & cat " + dir + "/x"}} {
		spec := Spec{Argv: argv, Env: []string{"PATH=/usr/bin:/bin"}, User: slurm, Timeout: time.Second, MaxOutput: 1000}
		_, err = Run(context.Background(), spec)
		fmt.Println(err)
	}
	fmt.Println(time.Since(start) < 30*time.Second)
	os.Exit(0)
}

// A program, and the files of a command, that are on a file server which does not
// answer cost no more than the command's time, and nothing is left.
func TestDeafFileServer(t *testing.T) {
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "/proc/self/exe")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t)
	cmd.Args[len(cmd.Args)-1] = self
	cmd.Env = append(os.Environ(), deaf+"="+dir)
	out, err := cmd.CombinedOutput()
	if text := string(out); err != nil || strings.Count(text, "no end after 1s") != 2 || !strings.HasSuffix(text, "true\n") {
		t.Errorf("%v\n%s", err, text)
	}
	if alive(t, dir) {
		t.Error("something is left")
	}
}
