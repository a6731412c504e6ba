package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/app/daemon"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// versions is what runs here.
func (m machine) versions() report.Part {
	kernel, err := os.ReadFile(filepath.Join(m.proc, "sys/kernel/osrelease"))
	part := report.Part{Name: "versions", State: report.OK, Detail: fmt.Sprintf("aggrfs %s, Linux %s", m.version, strings.TrimSpace(string(kernel)))}
	if err != nil {
		part.State, part.Detail = wrong, fmt.Sprintf("%v: mount a procfs on /proc", err)
	}
	return part
}

// fuse is whether the kernel has FUSE.
func (m machine) fuse() report.Part {
	text, err := os.ReadFile(filepath.Join(m.proc, "filesystems"))
	switch {
	case err != nil:
		return report.Part{Name: "fuse", State: wrong, Detail: err.Error() + ": mount a procfs on /proc"}
	case !slices.Contains(strings.Fields(string(text)), "fuse"):
		return report.Part{Name: "fuse", State: wrong, Detail: "the kernel has no FUSE, which exec and mount take: modprobe fuse"}
	}
	return report.Part{Name: "fuse", State: report.OK, Detail: "the kernel has it"}
}

// The device of FUSE (Documentation/admin-guide/devices.txt).
const fuseMajor, fuseMinor = 10, 229

// device is whether everybody can open the device of FUSE.
func (m machine) device() report.Part {
	path := filepath.Join(m.dev, "fuse")
	part := report.Part{Name: "device", State: wrong}
	var st unix.Stat_t
	mode := func() uint32 { return st.Mode & 0o777 }
	switch err := unix.Stat(path, &st); {
	case err != nil:
		part.Detail = fmt.Sprintf("%s: %v: modprobe fuse, or mknod -m 666 %s c %d %d; in a container, have the device passed into it", path, err, path, fuseMajor, fuseMinor)
	case st.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(uint64(st.Rdev)) != fuseMajor || unix.Minor(uint64(st.Rdev)) != fuseMinor:
		part.Detail = fmt.Sprintf("%s is not the device of FUSE: remove it, then mknod -m 666 %s c %d %d", path, path, fuseMajor, fuseMinor)
	case mode()&0o006 != 0o006:
		part.Detail = fmt.Sprintf("%s has mode %#o, so that users cannot open it, for exec and mount: chmod 666 %s", path, mode(), path)
	default:
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			part.Detail = fmt.Sprintf("%s cannot be opened (%v): in a container, have the device allowed (its control group forbids it)", path, err)
			break
		}
		unix.Close(fd)
		part.State, part.Detail = report.OK, fmt.Sprintf("%s, mode %#o", path, mode())
	}
	return part
}

// userNamespaces is whether users may have them, without which exec takes its helper.
func (m machine) userNamespaces() report.Part {
	if remedies := nsexec.Forbidding(m.proc); len(remedies) > 0 {
		return report.Part{Name: "userns", State: wrong, Detail: fmt.Sprintf("users may have no user namespaces, which their exec takes where the helper aggrfs-ns is not installed: install it, or %s", strings.Join(remedies, " and "))}
	}
	return report.Part{Name: "userns", State: report.OK, Detail: "no sysctl forbids users their user namespaces"}
}

// procfs is what is left out of the procfs here.
func (m machine) procfs() report.Part {
	part := report.Part{Name: "hidepid", State: report.OK, Detail: "nothing is left out of " + m.proc}
	mounts, err := mountsOf(m.proc)
	if err != nil {
		part.State, part.Detail = wrong, err.Error()
		return part
	}
	for _, mount := range mounts {
		if mount.MountPoint != "/proc" || mount.FSType != "proc" {
			continue
		}
		if mount.SuperOptions["subset"] == "pid" {
			part.State, part.Detail = wrong, "/proc has processes alone (subset=pid), and nothing of the machine can be read: mount a procfs without that (in a unit, ProcSubset=all)"
			return part
		}
		hide := mount.SuperOptions["hidepid"]
		if hide == "" || hide == "0" || hide == "off" {
			continue
		}
		own, err := m.rights("CapEff")
		switch {
		case err != nil:
			part.State, part.Detail = unknown, err.Error()
		case !own.Has(unix.CAP_SYS_PTRACE):
			part.State, part.Detail = wrong, fmt.Sprintf("hidepid=%s, and this process has no CAP_SYS_PTRACE: it is not shown the processes of others, and a server like it has none to show. Run it as its unit does, or mount -o remount,hidepid=0 /proc", hide)
		default:
			part.Detail = fmt.Sprintf("hidepid=%s: users are not shown the processes of others, here and through aggrfs alike; the services are, by CAP_SYS_PTRACE", hide)
		}
		return part
	}
	return part
}

// mountsOf are the mounts that a procfs tells this process of.
func mountsOf(proc string) ([]*procfs.MountInfo, error) {
	f, err := procfs.NewFS(proc)
	if err != nil {
		return nil, err
	}
	self, err := f.Self()
	if err != nil {
		return nil, err
	}
	return self.MountInfo()
}

// rights is a set of capabilities of this process.
func (m machine) rights(which string) (privs.Set, error) {
	text, err := os.ReadFile(filepath.Join(m.proc, "self/status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, which+":"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return privs.Set(set), err
		}
	}
	return 0, fmt.Errorf("%s has no %s", filepath.Join(m.proc, "self/status"), which)
}

// capabilities is whether root here can have what the services take.
func (m machine) capabilities() report.Part {
	part := report.Part{Name: "capabilities", State: report.OK, Detail: "root can have all that the services take"}
	most, err := m.rights("CapBnd")
	if err != nil {
		part.State, part.Detail = wrong, err.Error()
		return part
	}
	var lacks []string
	for _, w := range privs.Leaf() {
		if !w.Optional && !most.Has(w.Number) {
			lacks = append(lacks, fmt.Sprintf("%s (without it %s)", privs.Set(1<<w.Number), w.Cost))
		}
	}
	if len(lacks) > 0 {
		part.State, part.Detail = wrong, fmt.Sprintf("nobody here can have %s: in a container, have them added (--cap-add); in a unit, CapabilityBoundingSet=", strings.Join(lacks, ", "))
	}
	return part
}

// clock is whether anything keeps the clock right, by which certificates are judged.
func (m machine) clock() report.Part {
	var tx unix.Timex
	state, err := m.adjtimex(&tx)
	now := m.now().UTC().Format("2006-01-02T15:04:05Z")
	switch {
	case err != nil:
		return report.Part{Name: "clock", State: unknown, Detail: fmt.Sprintf("adjtimex(2): %v", err)}
	case state == unix.TIME_ERROR || tx.Status&unix.STA_UNSYNC != 0:
		return report.Part{Name: "clock", State: look, Detail: now + ", and the kernel knows of nothing that keeps it right: certificates are judged by it, so run chrony or systemd-timesyncd; how far nodes are apart is in cluster/load, OFFSET"}
	}
	return report.Part{Name: "clock", State: report.OK, Detail: now + ", kept right"}
}

// security is which security modules may be in the way.
func (m machine) security() (lines []report.Part) {
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Join(m.sys, path))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "?"
		}
		return strings.TrimSpace(string(text))
	}
	part := report.Part{Name: "selinux", State: report.OK, Detail: "not enforcing"}
	if is := read("fs/selinux/enforce"); is != "" && is != "0" {
		part.State, part.Detail = look, "enforcing: if a service is refused what it may have, ausearch -m avc -c aggrfs -c procsrv says so, and audit2allow makes a module of that"
	}
	lines = append(lines, part)
	part = report.Part{Name: "apparmor", State: report.OK, Detail: "not enabled"}
	if is := read("module/apparmor/parameters/enabled"); is == "Y" || is == "?" {
		part.Detail = "enabled; there is no profile for aggrfs or procsrv unless somebody has made one"
		if profiles, err := os.ReadFile(filepath.Join(m.sys, "kernel/security/apparmor/profiles")); err == nil && (strings.Contains(string(profiles), "aggrfs") || strings.Contains(string(profiles), "procsrv")) {
			part.State, part.Detail = look, "a profile names aggrfs or procsrv: if something is refused, journalctl -k -g apparmor says so, and aa-complain with the program's path lets it through"
		}
	}
	return append(lines, part)
}

// descriptors is whether this process could serve the configuration.
func descriptors(cfg *config.Config) report.Part {
	if short := daemon.ShortOf(cfg); len(short) > 0 {
		return report.Part{Name: "limits", State: wrong, Detail: "for a server that is started from here: " + strings.Join(short, "; ")}
	}
	return report.Part{Name: "limits", State: report.OK, Detail: "file descriptors and memory suffice, for a server that is started from here"}
}
