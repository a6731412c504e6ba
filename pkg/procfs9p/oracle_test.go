package procfs9p

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/procfs9p/fdlimit"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// The oracle is the kernel: this program, run again as somebody else, reads what
// it is told to. It reads below descriptor 3, a procfs, so that it need not be
// able to walk to where that is mounted.

// actVariable has this program do something else than to test.
const (
	actVariable    = "PROCFS9P_TEST_ACT"
	threadVariable = "PROCFS9P_TEST_THREAD" // of the act "pester"
	swampVariable  = "PROCFS9P_TEST_SWAMP"  // of the act "swamp", a path
	whoVariable    = "PROCFS9P_TEST_WHO"    // of the act "leaf", in JSON
)

// act is what this program does in place of testing.
func act(what string) error {
	switch what {
	case "native":
		return serveOracle(lookNatively)
	case "leaf":
		return actLeaf()
	case "actions":
		return actNatively()
	case "pester":
		tid, err := strconv.Atoi(os.Getenv(threadVariable))
		if err != nil {
			return err
		}
		return pester(tid)
	case "undumpable":
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			return err
		}
		os.Stdout.Close() // says that it is done
		for {
			_ = syscall.Pause()
		}
	case "limit":
		fmt.Println(fdlimit.Limit())
		return nil
	case "short":
		return actShort()
	case "swamp":
		return actInSwamp(os.Getenv(swampVariable))
	case "leaderless":
		os.Stdout.Close()
		go func() {
			for {
				_ = syscall.Pause()
			}
		}()
		runtime.LockOSThread() // the first thread, as TestMain is what the program starts with
		unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
	return errors.New("no such act")
}

// actLeaf looks through a leaf of its own.
func actLeaf() error {
	var who vfs.Identity
	if err := json.Unmarshal([]byte(os.Getenv(whoVariable)), &who); err != nil {
		return err
	}
	l, err := New(Config{Root: "/proc/self/fd/3", ReadTimeout: patience})
	if err != nil {
		return err
	}
	defer l.Close()
	root, err := l.Attach(context.Background(), who, "")
	if err != nil {
		return err
	}
	ctx := standing{context.Background()}
	return serveOracle(func(o object) seen { return lookThrough(ctx, root.(vfs.Dir), o) })
}

func serveOracle(look func(object) seen) error {
	in, out := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	for {
		var objects []object
		if err := in.Decode(&objects); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		all := make([]seen, len(objects))
		for i, o := range objects {
			all[i] = look(o)
		}
		if err := out.Encode(all); err != nil {
			return err
		}
	}
}

// again is this program to do that. The race detector would have it sleep for a
// second before it ends.
func again(ctx context.Context, what string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0", actVariable+"="+what), env...)
	return cmd
}

// oracle is such a program.
type oracle struct {
	t   *testing.T
	cmd *exec.Cmd
	out *gob.Encoder
	in  *gob.Decoder
}

// newOracle runs this program to do that, with these attributes, on the procfs.
func newOracle(t *testing.T, what string, attr *syscall.SysProcAttr, procfs *os.File, env ...string) *oracle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := again(ctx, what, env...)
	cmd.SysProcAttr, cmd.ExtraFiles, cmd.Stderr = attr, []*os.File{procfs}, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("oracle: %v", err)
		}
		cancel()
	})
	return &oracle{t, cmd, gob.NewEncoder(in), gob.NewDecoder(out)}
}

// look asks what the oracle sees of these.
func (o *oracle) look(objects []object) []seen {
	o.t.Helper()
	if err := o.out.Encode(objects); err != nil {
		o.t.Fatal(err)
	}
	var all []seen
	if err := o.in.Decode(&all); err != nil || len(all) != len(objects) {
		o.t.Fatalf("oracle: %d answers to %d questions, %v", len(all), len(objects), err)
	}
	return all
}

// becomes are the attributes of a program that is who.
func becomes(who vfs.Identity) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: who.UID, Gid: who.GID, Groups: who.Groups}}
}
