package ninep

import (
	"fmt"
	"net"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Peer is the other end of a connection, as the kernel or its certificate tells
// it.
type Peer struct {
	Network string // "unix", "tcp", "tls", "pipe"
	Addr    string // the remote address; of little use for unix
	Cert    string // the name in the verified certificate, see TLS; only with "tls"
	HasCred bool   // the rest is known: only on unix sockets
	UID     uint32
	GID     uint32
	Groups  []uint32 // supplementary groups, sorted
	PID     int32    // the process that connected; it may have passed the socket on
}

// String names the peer in logs.
func (p Peer) String() string {
	if p.HasCred {
		return fmt.Sprintf("%s pid %d uid %d", p.Network, p.PID, p.UID)
	}
	return p.Network + " " + p.Addr
}

// PeerOf says who is at the other end of conn. On a unix socket that is
// SO_PEERCRED and SO_PEERGROUPS (unix(7), socket(7)): who they were when they
// connected. Over TLS it is the name in their certificate, see TLS.
func PeerOf(conn net.Conn) (Peer, error) {
	p := Peer{Network: conn.RemoteAddr().Network(), Addr: conn.RemoteAddr().String()}
	if c, ok := conn.(*tlsConn); ok {
		p.Network, p.Cert = "tls", c.cert()
		return p, nil
	}
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return p, nil
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return p, err
	}
	var cerr error
	err = raw.Control(func(fd uintptr) { cerr = p.credentials(int(fd)) })
	if err == nil {
		err = cerr
	}
	if err != nil {
		return p, fmt.Errorf("credentials of the peer: %w", err)
	}
	return p, nil
}

func (p *Peer) credentials(fd int) error {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return err
	}
	groups, err := peerGroups(fd)
	if err != nil {
		return err
	}
	slices.Sort(groups)
	p.UID, p.GID, p.PID, p.Groups = cred.Uid, cred.Gid, cred.Pid, slices.Compact(groups)
	p.HasCred = true
	return nil
}

// maxGroups is the kernel's NGROUPS_MAX.
const maxGroups = 65536

// peerGroups asks with a guess first; where that was too short the kernel
// answers ERANGE and how many bytes there are.
func peerGroups(fd int) ([]uint32, error) {
	const width = uint32(unsafe.Sizeof(uint32(0)))
	for size := uint32(32); size <= maxGroups; {
		groups := make([]uint32, size)
		n := size * width
		_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&n)), 0)
		switch {
		case e == 0:
			return groups[:n/width], nil
		case e == syscall.ERANGE && n/width > size:
			size = n / width
		default:
			return nil, e
		}
	}
	return nil, syscall.ERANGE
}
