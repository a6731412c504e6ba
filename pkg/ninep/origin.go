package ninep

import (
	"net/netip"
	"strconv"
)

// Whose connections are counted together, where nothing better is known: those of a
// network, for who has one address of it can often have all. That of an IPv4 address
// is a /24, that of an IPv6 address a /64; the larger ones that they are part of, a
// /16 and a /48, are told apart where there is no room for all (see door.arrive).
const (
	bits4, bits6         = 24, 64
	wideBits4, wideBits6 = 16, 48
)

// origin is what is common to a peer's connections: the user on a unix socket, the
// certificate, else the network.
func (p Peer) origin() string {
	if p.Cert != "" {
		return "the certificate " + quoted(p.Cert)
	}
	near, _ := p.networks()
	return near
}

// networks are the network that a peer is part of, and the larger one around that;
// on a unix socket the user and all of them.
func (p Peer) networks() (near, wide string) {
	if p.HasCred {
		return p.Network + " uid " + strconv.FormatUint(uint64(p.UID), 10), p.Network
	}
	at, err := netip.ParseAddrPort(p.Addr)
	if err != nil {
		return p.Network + " " + p.Addr, p.Network
	}
	addr := at.Addr().Unmap().WithZone("")
	bits, wideBits := bits4, wideBits4
	if addr.Is6() {
		bits, wideBits = bits6, wideBits6
	}
	return p.Network + " " + network(addr, bits), p.Network + " " + network(addr, wideBits)
}

func network(addr netip.Addr, bits int) string {
	n, err := addr.Prefix(bits)
	if err != nil {
		return addr.String()
	}
	return n.String()
}
