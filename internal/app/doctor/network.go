package doctor

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/aggrfs/aggrfs/internal/certs"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// certificates is how the files of this machine are, whose certificate must be for name.
func (m machine) certificates(files certs.Files, name string) []report.Part {
	part := report.Part{Name: "certificate", State: wrong}
	store, err := certs.Open(files, slog.New(slog.DiscardHandler))
	if err != nil {
		part.Detail = err.Error()
		if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
			part.State = unknown
		}
		return []report.Part{part}
	}
	set := store.Current()
	leaf := set.Certificate.Leaf
	between := x509.NewCertPool()
	for _, der := range set.Certificate.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	verify := func(use x509.ExtKeyUsage) error {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: set.CAs, Intermediates: between, CurrentTime: m.now(), KeyUsages: []x509.ExtKeyUsage{use}})
		return err
	}
	until := leaf.NotAfter.UTC().Format(time.DateOnly)
	life := certs.LifeOf(leaf.NotBefore, leaf.NotAfter, m.now())
	switch err := cmp.Or(verify(x509.ExtKeyUsageServerAuth), verify(x509.ExtKeyUsageClientAuth)); {
	case life == certs.Ended:
		part.Detail = fmt.Sprintf("%s has ended on %s: renew it (aggrfs certs issue, or your CA)", files.Cert, until)
	case life == certs.Early:
		part.Detail = fmt.Sprintf("%s is not good before %s: set this clock, or the one of the machine that made it", files.Cert, leaf.NotBefore.UTC().Format(time.RFC3339))
	case err != nil:
		part.Detail = fmt.Sprintf("%s is not what others accept by the CA in %s (%v): have it signed by that CA for server and client authentication, or name the CA that did", files.Cert, files.CA, err)
	case name != "" && !slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) }):
		part.Detail = fmt.Sprintf("%s is for %q and not for %q, the name of this machine in the configuration: make one with that DNS name (aggrfs certs issue %s)", files.Cert, certs.Name(leaf), name, name)
	case life == certs.Ending:
		part.Detail = fmt.Sprintf("%s ends on %s: renew it (aggrfs certs issue, or your CA)", files.Cert, until)
	default:
		part.State, part.Detail = report.OK, fmt.Sprintf("%s, of %s, until %s", files.Cert, certs.Name(leaf), until)
	}
	ca := report.Part{Name: "ca", State: report.OK, Detail: fmt.Sprintf("%s, until %s", files.CA, set.CAUntil.UTC().Format(time.DateOnly))}
	if certs.LifeOf(time.Time{}, set.CAUntil, m.now()) != certs.Good {
		ca.State, ca.Detail = wrong, ca.Detail+": put a new CA beside it in this file on every machine, then renew all certificates"
	}
	return []report.Part{part, ca}
}

// address is whether an address is free, or served by one of ours.
func (m machine) address(text string) report.Part {
	part := report.Part{Name: "address", State: wrong}
	a, err := ninep.ParseAddr(text)
	if err != nil {
		part.Detail = err.Error()
		return part
	}
	inode, err := m.listening(a)
	switch {
	case err != nil:
		part.Detail = fmt.Sprintf("%s: %v", a, err)
		return part
	case inode == 0 && a.Network == "unix":
		return m.socketPlace(a)
	case inode == 0:
		part.State, part.Detail = report.OK, a.String()+" is free"
		return part
	}
	pid, name, whole := m.owner(inode)
	switch {
	case name == "aggrfs", name == "procsrv":
		part.State, part.Detail = report.OK, fmt.Sprintf("%s is served by %s (pid %d)", a, name, pid)
	case pid != 0:
		part.Detail = fmt.Sprintf("%s is in use by %s (pid %d): stop that, or name another address", a, name, pid)
	case !whole:
		part.State, part.Detail = unknown, fmt.Sprintf("%s is in use, and this user may not see by whom", a)
	default:
		part.Detail = fmt.Sprintf("%s is in use by a process that is not to be seen here, of a container perhaps: name another address", a)
	}
	return part
}

// socketPlace is whether a socket that nobody listens on can be made.
func (m machine) socketPlace(a ninep.Addr) report.Part {
	part := report.Part{Name: "address", State: report.OK, Detail: a.String() + " is free"}
	if st, err := os.Lstat(a.Address); err == nil && st.Mode()&fs.ModeSocket == 0 {
		part.State, part.Detail = wrong, fmt.Sprintf("%s is no socket but something else: remove it, or name another address", a)
	}
	return part
}

// listening is the inode of the socket that listens there; 0 is none.
func (m machine) listening(a ninep.Addr) (uint64, error) {
	f, err := procfs.NewFS(m.proc)
	if err != nil {
		return 0, err
	}
	if a.Network == "unix" {
		all, err := f.NetUNIX()
		if err != nil {
			return 0, err
		}
		const accepts = 1 << 16 // __SO_ACCEPTCON
		for _, s := range all.Rows {
			if s.Path == a.Address && s.Flags&accepts != 0 {
				return s.Inode, nil
			}
		}
		return 0, nil
	}
	host, service, err := net.SplitHostPort(a.Address)
	if err != nil {
		return 0, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no port", service)
	}
	//lint:ignore SA1019 the text is slow with many sockets, and this is one look
	four, err := f.NetTCP()
	if err != nil {
		return 0, err
	}
	//lint:ignore SA1019 the text is slow with many sockets, and this is one look
	six, err := f.NetTCP6()
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
		return 0, err
	}
	ip := net.ParseIP(host)
	for _, s := range append(four, six...) {
		const listen = 0x0A // TCP_LISTEN
		any := ip == nil || ip.IsUnspecified() || s.LocalAddr.IsUnspecified()
		if s.St == listen && s.LocalPort == port && (any || s.LocalAddr.Equal(ip)) {
			return s.Inode, nil
		}
	}
	return 0, nil
}

// owner is the process that has a socket open; 0 is that none was found, and whole that all were
// looked at.
func (m machine) owner(inode uint64) (pid int, name string, whole bool) {
	want, whole := fmt.Sprintf("socket:[%d]", inode), true
	dirs, _ := filepath.Glob(filepath.Join(m.proc, "[1-9]*"))
	for _, dir := range dirs {
		fds, err := os.ReadDir(filepath.Join(dir, "fd"))
		if errors.Is(err, fs.ErrPermission) {
			whole = false
		}
		for _, fd := range fds {
			if to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err != nil || to != want {
				continue
			}
			pid, _ := strconv.Atoi(filepath.Base(dir))
			comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
			return pid, strings.TrimSpace(string(comm)), true
		}
	}
	return 0, "", whole
}
