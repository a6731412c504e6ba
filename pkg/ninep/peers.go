package ninep

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// peers counts connections by peer.
type peers struct {
	mu    sync.Mutex
	conns map[string]int // by origin
}

var errTooManyOfPeer = errors.New("more connections than one peer may have at once")

// enter counts a connection of origin's, if there are fewer than most.
func (p *peers) enter(origin string, most int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[origin] >= most {
		return fmt.Errorf("%w: %d of %s", errTooManyOfPeer, most, origin)
	}
	if p.conns == nil {
		p.conns = make(map[string]int)
	}
	p.conns[origin]++
	return nil
}

func (p *peers) leave(origin string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[origin]--; p.conns[origin] == 0 {
		delete(p.conns, origin)
	}
}

// peerOf is what is known of a peer before it has said anything.
func peerOf(nc net.Conn) Peer {
	p := Peer{Network: nc.RemoteAddr().Network(), Addr: nc.RemoteAddr().String()}
	if _, ok := nc.(*tlsConn); ok {
		p.Network = "tls"
	}
	return p
}

// holder is whose connections are counted together.
func (p Peer) holder() string {
	if p.Cert != "" {
		return "the certificate " + quoted(p.Cert)
	}
	return p.origin()
}
