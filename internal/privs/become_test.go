package privs

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// acts is the error of each of the actions on a process, as who.
func (d *daemon) acts(t *testing.T, who vfs.Identity, pid int, actions ...string) (errs []syscall.Errno) {
	t.Helper()
	ctx := t.Context()
	_, ids, err := vfs.WalkPath(ctx, d.attach(t, vfs.Root), fmt.Sprint(pid))
	if err != nil {
		t.Fatal(err)
	}
	file, _, err := vfs.WalkPath(ctx, d.attachTo(t, who, control.Tree), control.File)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ninep.OpenRW(ctx, file)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	batch := control.AppendHeader(nil, control.Limit{})
	for i, a := range actions {
		batch = fmt.Appendf(batch, "%d %d@%d %s\n", i, pid, ids[0], a)
	}
	if _, err := h.(vfs.Writer).WriteAt(ctx, batch, 0); err != nil {
		t.Fatal(err)
	}
	text, err := vfs.ReadAll(ctx, h, control.MaxAnswer)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("\n"))
	all, err := control.ParseAnswers(text)
	if err != nil || len(all) != len(actions) {
		t.Fatalf("%v: %s", err, text)
	}
	for _, a := range all {
		errs = append(errs, a.Errno)
	}
	return errs
}

// TestControlAsItsUser: procsrv as a user of its own lets users act as themselves, and root as far as it has the
// capabilities; procsrv itself keeps none of them but what reading takes.
func TestControlAsItsUser(t *testing.T) {
	user := vfs.Identity{UID: testUID, GID: testGID}
	for _, c := range []struct {
		more Set
		root syscall.Errno
	}{{0, syscall.EPERM}, {1<<unix.CAP_KILL | 1<<unix.CAP_SYS_NICE, 0}} {
		d := start(t, daemonUID, needed|c.more, "procsrv", "--listen", "unix:DIR/s", "--control", "all")
		kept := needed | c.more&^(1<<unix.CAP_KILL)
		d.checkThreads(t, kept, kept|c.more)
		own, roots := quiet(t, testUID), quiet(t, 0)
		if got := d.acts(t, user, own, "probe", "signal USR1", "nice 19", "ioprio idle"); fmt.Sprint(got) != fmt.Sprint([]syscall.Errno{0, 0, 0, 0}) {
			t.Errorf("with %v: a user to their own: %v", c.more, got)
		}
		if got := d.acts(t, user, roots, "probe", "signal KILL", "nice 19"); fmt.Sprint(got) != fmt.Sprint([]syscall.Errno{syscall.EPERM, syscall.EPERM, syscall.EPERM}) {
			t.Errorf("with %v: a user to root's: %v", c.more, got)
		}
		if got := d.acts(t, vfs.Root, own, "probe", "signal USR2", "nice 19"); fmt.Sprint(got) != fmt.Sprint([]syscall.Errno{c.root, c.root, c.root}) {
			t.Errorf("with %v: root: %v, want %v", c.more, got, c.root)
		}
		d.checkThreads(t, kept, kept|c.more)
		if strings.Contains(d.log.String(), "WARN") {
			t.Error(d.log.String())
		}
	}
}
