package ninep

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// A door lets connections in. At first nobody knows who is at the other end: until
// the kernel, a certificate or an attach tells, a connection has one of a few places
// of their own, from which the oldest is put out for a new one (see arrive). Once it
// is known it has a place on the account of its peer, as many as one may have; and the
// last places are for peers that are trusted, so that no number of others keeps root
// or a front end out.
type door struct {
	limits *Limits

	mu       sync.Mutex
	arriving []*arrival // the oldest first
	inside   int        // connections whose peer is known
}

// An arrival is a connection whose peer is not known yet.
type arrival struct {
	nc       net.Conn
	near, by string      // its network, and the larger one that this is part of
	out      atomic.Bool // it was put out for another
	placed   *account    // where it has its place since; guarded by door.mu
}

var (
	errTooMany       = errors.New("more connections than there may be at once")
	errTooManyOfPeer = errors.New("more connections than one peer may have at once")
	errPutOut        = errors.New("it did not say who it is before others came")
)

// arrive gives a new connection a place among those of unknown peers. If there is
// none, one of that network is put out which has most of them, and of it the oldest: a
// network that sends ever more puts out its own.
func (d *door) arrive(nc net.Conn, p Peer) *arrival {
	a := &arrival{nc: nc}
	a.near, a.by = p.networks()
	d.mu.Lock()
	d.arriving = append(d.arriving, a)
	var old *arrival
	if len(d.arriving) > d.limits.Handshakes {
		old = d.oldestLocked()
		d.removeLocked(old)
		old.out.Store(true)
	}
	d.mu.Unlock()
	if old != nil {
		old.nc.Close() // which whoever serves it finds
	}
	return a
}

// oldestLocked is the one to put out.
func (d *door) oldestLocked() *arrival {
	wide, near := make(map[string]int), make(map[string]int)
	for _, a := range d.arriving {
		wide[a.by]++
		near[a.near]++
	}
	best := d.arriving[0]
	for _, a := range d.arriving[1:] {
		if wide[a.by] > wide[best.by] || wide[a.by] == wide[best.by] && near[a.near] > near[best.near] {
			best = a
		}
	}
	return best
}

func (d *door) removeLocked(a *arrival) {
	for i, other := range d.arriving {
		if other == a {
			d.arriving = append(d.arriving[:i], d.arriving[i+1:]...)
			return
		}
	}
}

// admit gives a connection a place on the account of its peer, who is known now. It
// may be called again, which changes nothing.
func (d *door) admit(a *arrival, of *account, trusted bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	most := d.limits.Connections
	if !trusted {
		most -= d.limits.Reserve
	}
	switch {
	case a.placed != nil:
		return nil
	case a.out.Load():
		return errPutOut
	case of.conns >= d.limits.PeerConnections:
		return fmt.Errorf("%w: %d of %s", errTooManyOfPeer, of.conns, of.name)
	case d.inside >= most:
		return fmt.Errorf("%w: %d, and %d are kept for root and front ends", errTooMany, most, d.limits.Connections-most)
	}
	d.removeLocked(a)
	a.placed = of
	d.inside++
	of.conns++
	of.held.Add(connWeight)
	return nil
}

// leave gives back the place of a connection that has ended.
func (d *door) leave(a *arrival) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if of := a.placed; of != nil {
		d.inside--
		of.conns--
		of.held.Add(-connWeight)
	} else {
		d.removeLocked(a)
	}
}
