package listing

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
)

// A part is the rows of one node in a listing, as they were then.
type part struct {
	n     *proctable.Node
	pids  []int32 // of the table that was listed
	files int
	// bits has files+1 bits for each of pids: whether it was listed, and which of the files
	// have been given.
	bits []uint32

	mu   sync.Mutex           // held to replace rows
	rows atomic.Pointer[rows] // never nil
}

// rows are where the rows of a part are now. They never change. When a node's table is copied
// together, an older table shares nothing with it any more: then those rows that differ are
// copied, and the others are the newer table's.
type rows struct {
	own    []*proctable.Table // have those that differ from newest
	newest *proctable.Table   // has all others
}

func newPart(n *proctable.Node, t *proctable.Table) *part {
	p := &part{n: n, pids: t.PIDs(), files: len(t.Files())}
	p.bits = make([]uint32, (len(p.pids)*(p.files+1)+31)/32)
	p.rows.Store(&rows{newest: t})
	return p
}

func (p *part) at(row, k int) (word *uint32, bit uint32) {
	at := row*(p.files+1) + k
	return &p.bits[at/32], 1 << (at % 32)
}

func (p *part) has(row, k int) bool {
	word, bit := p.at(row, k)
	return atomic.LoadUint32(word)&bit != 0
}

// set sets a bit, and reports whether it was not.
func (p *part) set(row, k int) bool {
	word, bit := p.at(row, k)
	return atomic.OrUint32(word, bit)&bit == 0
}

// find is the process that was listed at that pid.
func (p *part) find(pid gpid.PID) Entry {
	i, ok := slices.BinarySearch(p.pids, int32(pid))
	if !ok || !p.has(i, 0) {
		return Entry{}
	}
	row := p.rows.Load().find(pid)
	return Entry{row, p, i}
}

// Lookup finds a process that was listed.
func (p *part) Lookup(pid gpid.PID) (proctable.Row, bool) {
	e := p.find(pid)
	return e.Row, e.OK()
}

func (r *rows) find(pid gpid.PID) proctable.Row {
	for _, t := range r.own {
		if row, ok := t.Lookup(pid); ok {
			return row
		}
	}
	row, ok := r.newest.Lookup(pid)
	if !ok {
		return proctable.Row{}
	}
	return row
}

// rebase has the part share what it can with the node's table of now.
func (p *part) rebase() {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, now := p.rows.Load(), p.n.Table()
	if now == nil || was.newest == now || now.Shares(was.newest.Table) {
		return
	}
	var differ []int // of the rows of was.newest
	for i, pid := range p.pids {
		if !p.has(i, 0) {
			continue
		}
		row := was.find(gpid.PID(pid))
		if row.Table != was.newest {
			continue
		}
		if other, ok := now.Lookup(row.PID()); !ok || !row.Same(other) {
			differ = append(differ, row.I)
		}
	}
	own := slices.Clip(was.own)
	if len(differ) > 0 {
		own = append(own, was.newest.Only(differ))
	}
	p.rows.Store(&rows{own, now})
}

// size is how many bytes of records the part has to itself.
func (p *part) size() (bytes int) {
	r := p.rows.Load()
	for _, t := range r.own {
		bytes += t.Size()
	}
	if now := p.n.Table(); now != r.newest && (now == nil || !now.Shares(r.newest.Table)) {
		bytes += r.newest.Size()
	}
	return bytes
}
