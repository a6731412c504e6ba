package ninep

import "time"

// A job is a request on its way through the server, from the moment it is
// decoded until it is answered and done. Jobs are used again; a job that waits
// holds no frame.
//
// A request works on one fid (own), and a Twalk that makes a new fid begins at
// another (from). Jobs of one fid form a queue, linked by next from the oldest
// to fid.last; only the head runs. A Twalk does not queue on the fid it begins
// at, for it does not change it: it only takes the place there, at once if no
// job is queued on it, else at the moment when the job that was its last ends
// (walkers). So the many walks from one root run side by side.
type job struct {
	req request
	rep reply

	c    *conn
	run  func() // work on this job, made once
	own  *fid
	from *place // of a Twalk: where it begins; nil is an unknown fid

	payer     *account // who has counted these, see account
	requested int64    // bytes for the request
	passing   int64    // bytes for its answer
	room      int      // how long an answer that is enough for

	turn    uint64  // post.away if a reader carries it out, else 0
	scratch []byte  // what is written, was read or is encoded; used again
	lent    *buffer // what scratch is in, where that is large

	// Guarded by conn.mu.
	next      *job
	walkers   []*job
	waits     int       // for how many jobs this one waits: 0, 1 or 2
	deadline  time.Time // of the request
	ctx       *reqCtx   // once it runs
	cancelled error     // why it must not run or go on
	answered  bool      // the client has its answer, or must not get one
	flushes   []uint16  // tags of the Tflush that wait for it
}

// maxScratch is the largest scratch that is kept for another job, in bytes.
const maxScratch = 64 << 10

// releases reports whether the request lets go of its fid, which is done however
// it fares otherwise.
func (j *job) releases() bool { return j.req.op == opClunk || j.req.op == opRemove }

// reset makes j ready to be used again.
func (j *job) reset() {
	clear(j.req.walked[:])
	req := &j.req
	*req = request{walked: req.walked}
	rep := &j.rep
	rep.qids, rep.data, rep.name, rep.text = nil, nil, "", ""
	if cap(j.scratch) > maxScratch {
		j.scratch = nil
	}
	clear(j.walkers)
	j.walkers, j.flushes = j.walkers[:0], j.flushes[:0]
	j.c, j.own, j.from, j.next, j.ctx, j.cancelled = nil, nil, nil, nil, nil, nil
	j.waits, j.answered, j.turn = 0, false, 0
	j.settle()
}

// settle gives back what is counted for j.
func (j *job) settle() {
	if j.payer != nil {
		j.payer.passing.Add(-j.passing)
		j.payer.requested.Add(-j.requested)
	}
	j.payer, j.requested, j.passing, j.room = nil, 0, 0, 0
}

// weight is what j takes until it is done, in bytes, beside its answer.
func (j *job) weight() int64 {
	n := jobWeight + len(j.req.data)
	for _, name := range j.req.names {
		n += len(name)
	}
	return int64(n)
}

// newJob is a job for c.
func (c *conn) newJob() *job {
	j, ok := c.srv.jobs.Get().(*job)
	if !ok {
		j = new(job)
		j.run = func() { j.c.work(j, 0) }
	}
	j.c = c
	return j
}

// recycle keeps j for another request.
func (c *conn) recycle(j *job) {
	clear(j.scratch) // what a file says is in no buffer longer than it must
	if j.lent != nil {
		spare.put(j.lent)
		j.lent, j.scratch = nil, nil
	}
	j.reset()
	c.srv.jobs.Put(j)
}

// grow is buf with room for n more bytes, where a frame has that: beyond
// maxScratch in a buffer that is lent.
func (c *conn) grow(j *job, buf []byte, n int) []byte {
	need := len(buf) + n
	if need <= cap(buf) || need <= maxScratch || need > MaxMsize {
		return buf
	}
	lent := spare.get(need)
	buf = append(lent.b[:0], buf...)
	spare.put(j.lent)
	j.lent = lent
	return buf
}
