// Package requester runs aggrfs as different users on a machine as distributions set it up, for
// measurements: as root, as a user in a user namespace, and as a user with the helper.
//
// A user's command has a mount namespace of its own in which /dev/fuse is for everybody, whatever
// it is on this machine, so that nothing of the machine is changed. The programs are copied to a
// directory that all users can reach; the helper has its capability there.
package requester

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// UID is the user's number, and their group's.
const UID = 1001

// endDeadline is how long a command that is to end has for it before it is killed.
const endDeadline = 10 * time.Second

// aside is where root's commands and the helper put the native procfs, a directory that exists
// from Install to Close.
const aside = "/run/aggrfs-native"

// ownAside is the mode of an aside that a command has made and removes at its end.
const ownAside = 0o700

// sysAdmin is what setcap cap_sys_admin+ep writes: struct vfs_cap_data of linux/capability.h,
// revision 2.
var sysAdmin = []byte{1, 0, 0, 2, 0, 0, 1 << (unix.CAP_SYS_ADMIN - 16), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// Programs are those of the project, where all users can run them.
type Programs struct {
	dir       string // the programs, without the helper
	helper    string // the programs, with the helper
	device    string // a /dev/fuse for everybody
	madeAside bool
}

// Install copies aggrfs and aggrfs-ns from a directory to below dir, which it lets all users
// reach. The caller removes dir, and calls Close before.
func Install(dir, from string) (*Programs, error) {
	p := &Programs{dir: filepath.Join(dir, "programs"), helper: filepath.Join(dir, "with-helper"), device: filepath.Join(dir, "fuse")}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	for _, to := range []string{p.dir, p.helper} {
		if err := os.Mkdir(to, 0o755); err != nil {
			return nil, err
		}
		if err := copyProgram(from, to, "aggrfs"); err != nil {
			return nil, err
		}
	}
	if err := copyProgram(from, p.helper, "aggrfs-ns"); err != nil {
		return nil, err
	}
	if err := unix.Setxattr(filepath.Join(p.helper, "aggrfs-ns"), "security.capability", sysAdmin, 0); err != nil {
		return nil, fmt.Errorf("setcap cap_sys_admin+ep: %w", err)
	}
	if err := unix.Mknod(p.device, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))); err != nil {
		return nil, fmt.Errorf("mknod %s: %w", p.device, err)
	}
	if err := os.Chmod(p.device, 0o666); err != nil { // whatever the umask
		return nil, err
	}
	return p, p.makeAside()
}

// makeAside makes the directory that an installation has.
func (p *Programs) makeAside() error {
	err := os.Mkdir(aside, 0o755)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	p.madeAside = err == nil
	st, err := os.Stat(aside)
	if err != nil {
		return err
	}
	if st.Mode().Perm() == ownAside {
		p.madeAside = true
	}
	if !p.madeAside {
		return nil
	}
	return os.Chmod(aside, 0o755) // whatever the umask
}

func copyProgram(from, to, name string) error {
	text, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		return fmt.Errorf("build the programs first: %w", err)
	}
	path := filepath.Join(to, name)
	if err := os.WriteFile(path, text, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, 0o755)
}

// Close removes what Install made outside of its directory, unless a command of somebody else
// has a use for it: those have it locked.
func (p *Programs) Close() error {
	if !p.madeAside {
		return nil
	}
	p.madeAside = false
	dir, err := os.Open(aside)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil
	}
	return os.Remove(aside)
}

// A Requester is somebody who runs commands. The zero value is of no use.
type Requester struct {
	Name     string // in the names of figures
	programs string
	device   string
	uid      uint32
	become   []string // before a command, for who is not root
}

// Root is root.
func (p *Programs) Root() Requester { return Requester{Name: "root", programs: p.dir} }

// User is a user whose commands run in a user namespace, even if this machine has the helper.
func (p *Programs) User() Requester {
	return Requester{Name: "user", programs: p.dir, device: p.device, uid: UID, become: append(setpriv(), "--no-new-privs")}
}

// WithHelper is a user on a machine that has the helper.
func (p *Programs) WithHelper() Requester {
	return Requester{Name: "helper", programs: p.helper, device: p.device, uid: UID, become: setpriv()}
}

func setpriv() []string {
	return []string{"setpriv", fmt.Sprintf("--reuid=%d", UID), fmt.Sprintf("--regid=%d", UID), "--clear-groups"}
}

// IsRoot reports whether the requester is root.
func (r Requester) IsRoot() bool { return r.uid == 0 }

// As is a command line that becomes the requester and runs argv, from root's.
func (r Requester) As(argv ...string) []string {
	return append(append([]string(nil), r.become...), argv...)
}

// Aggrfs is a command "aggrfs ARG..." of the requester, see [Bounded].
func (r Requester) Aggrfs(ctx context.Context, args ...string) *exec.Cmd {
	argv := r.As(append([]string{filepath.Join(r.programs, "aggrfs")}, args...)...)
	if !r.IsRoot() {
		argv = append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", `mount --bind "$0" /dev/fuse && exec "$@"`, r.device}, argv...)
	}
	return Bounded(ctx, argv...)
}

// Bounded is a command with an environment in which all programs print the same, in a process
// group of its own. The end of the context ends it by SIGTERM, and ten seconds later for good.
// [Finish] must be called when it has ended.
func Bounded(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LC_ALL=C", "TERM=dumb"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endDeadline
	return cmd
}

// Finish kills what a command of [Bounded] has left in its process group.
func Finish(cmd *exec.Cmd) {
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // ESRCH: nothing is left
	}
}
