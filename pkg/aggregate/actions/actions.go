// Package actions acts on processes of the merged tree for those who may: it finds what each
// request is about in the requester's view, asks the policy, and sends the requests to the nodes,
// whose kernels decide. The language is that of package control.
//
// What the requester's view does not show is ESRCH before any node is asked to act. A node that
// does not answer is EHOSTDOWN, never ESRCH, which means gone; whether the action was done is not
// known then, and it is not tried again.
package actions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/internal/rpcfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Controller acts on the processes of one cluster. Its methods may be called concurrently.
type Controller struct{ audit *control.Audit }

// New makes a Controller, which logs to log what is done.
func New(log *slog.Logger) *Controller { return &Controller{control.NewAudit(log)} }

// Flush writes what the log does not have yet.
func (c *Controller) Flush() { c.audit.Flush() }

// A Session is a view whose requester may act on its processes, if the policy lets them.
type Session struct {
	*view.View
	c    *Controller
	from vfs.Origin
}

// For is the session of a view, whose requester has attached from there.
func (c *Controller) For(v *view.View, from vfs.Origin) *Session { return &Session{v, c, from} }

// Allowed reports whether the requester may act on any process now. Where not, there is no file
// to do so by.
func (s *Session) Allowed() bool { return !s.Scope().Control().None() }

// File is the rpc file that takes batches, cluster/ctl.
func (s *Session) File(attr vfs.Attr) vfs.File {
	attr.Mode, attr.Keep, attr.KeepName = uint32(vfs.TypeFile)|0o600, 0, 0
	attr.UID, attr.GID = s.Who.UID, s.Who.GID
	files := &rpcfile.Server{Most: control.MaxBatch, Answer: func(ctx context.Context, batch []byte) ([]byte, error) {
		if !s.Allowed() {
			return nil, syscall.ENOENT
		}
		requests, err := control.ParseRequests(batch)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", syscall.EINVAL, err)
		}
		var text []byte
		for _, a := range s.Do(ctx, requests) {
			text = control.AppendAnswer(text, a)
		}
		return text, nil
	}}
	return files.File(attr)
}

// A task is a request on its way.
type task struct {
	control.Request
	node *proctable.Node
	// A process is pid, of which tid is a thread, 0 for none; a group is pgid.
	pid, tid, pgid gpid.PID
	start          *int64 // of the process; nil is any
	native         string // the target in the node's words, once it was found
	value          string
	err            error
}

// answer is that to the request.
func (t *task) answer() control.Answer { return control.Answered(t.ID, t.value, t.err) }

// errGone is ESRCH to a client.
var errGone = fmt.Errorf("no such process: %w", syscall.ESRCH)

// Do carries out requests, on all nodes at once and in their order on each, and answers all of
// them. It ends soon after the nodes' read deadline.
func (s *Session) Do(ctx context.Context, requests []control.Request) []control.Answer {
	tasks := make([]*task, len(requests))
	byNode := make(map[*proctable.Node][]*task)
	for i, r := range requests {
		t := &task{Request: r}
		tasks[i] = t
		if t.err = s.locate(t); t.err == nil {
			byNode[t.node] = append(byNode[t.node], t)
		}
	}
	var all sync.WaitGroup
	for n, some := range byNode {
		all.Go(func() { s.onNode(ctx, n, some) })
	}
	all.Wait()
	answers := make([]control.Answer, len(tasks))
	for i, t := range tasks {
		answers[i] = t.answer()
		s.note(t, answers[i].Errno)
	}
	return answers
}

// note has a request in the log.
func (s *Session) note(t *task, errno syscall.Errno) {
	node := ""
	if t.node != nil {
		node = string(t.node.Name)
	}
	s.c.audit.Note(s.Who, s.from, t.Action, node, t.Target, errno)
}

// locate finds the node of a request, and the numbers there.
func (s *Session) locate(t *task) error {
	bad := fmt.Errorf("%q is no target: %w", t.Target, syscall.EINVAL)
	target, start, timed := strings.Cut(t.Target, "#")
	if timed {
		n, err := strconv.ParseInt(start, 10, 64)
		if err != nil || n < 0 {
			return bad
		}
		t.start = &n
	}
	target, thread, threaded := strings.Cut(target, "/")
	name, native, named := strings.Cut(target, ":")
	if !named {
		native = target
	}
	number, group := strings.CutPrefix(native, "-")
	g, ok := gpid.Parse(number)
	tid, tidOK := gpid.Parse(thread)
	switch {
	case !ok, threaded && !tidOK, group && (threaded || timed):
		return bad
	case group && !t.ForGroups(), threaded && !t.ForThreads():
		return fmt.Errorf("%s is not for those: %w", t.Verb, syscall.EINVAL)
	}
	if named {
		t.node, t.pid, t.tid = s.Node(gpid.NodeName(name)), gpid.PID(g), gpid.PID(tid)
	} else {
		t.node, t.pid, ok = s.Locate(g)
		if threaded {
			node, tid, found := s.Locate(tid)
			t.tid, ok = tid, ok && found && node == t.node
		}
	}
	if t.node == nil || !ok || t.pid > gpid.MaxPID || t.tid > gpid.MaxPID {
		t.node = nil
		return errGone
	}
	if group {
		t.pid, t.pgid = 0, t.pid
	}
	return nil
}

// onNode carries out the requests for one node.
func (s *Session) onNode(ctx context.Context, n *proctable.Node, tasks []*task) {
	ctx, cancel := context.WithTimeout(ctx, n.Limits().Read)
	defer cancel()
	var send []*task
	for _, t := range tasks {
		if t.err = s.prepare(ctx, t); t.err == nil {
			send = append(send, t)
		}
	}
	for len(send) > 0 {
		send = send[s.sendSome(ctx, n, send):]
	}
}

// prepare finds the process of a request, if it exists for the requester and is the one that is
// meant, and asks the policy.
func (s *Session) prepare(ctx context.Context, t *task) error {
	if t.pgid != 0 {
		t.native = "-" + strconv.Itoa(int(t.pgid))
		return s.allowed(t.Action)
	}
	p, _, err := view.Resolve(ctx, s.View, t.node, t.pid)
	if err != nil {
		if errno := vfs.Errno(err); errno == syscall.ENOENT || errno == syscall.ESRCH {
			return errGone
		}
		return t.node.Short(err)
	}
	if t.start != nil {
		start, err := s.startOf(ctx, p)
		if err != nil {
			return err
		}
		if start != *t.start {
			return fmt.Errorf("it is another process by now: %w", syscall.ESRCH)
		}
	}
	t.nativeOf(p)
	return s.allowed(t.Action)
}

// nativeOf names the process as its leaf does.
func (t *task) nativeOf(p *view.Process) {
	t.native = strconv.Itoa(int(p.PID)) + "@" + strconv.FormatUint(p.Leaf, 10)
	if t.tid != 0 {
		t.native += "/" + strconv.Itoa(int(t.tid))
	}
}

// allowed is why the policy does not let the requester do that.
func (s *Session) allowed(a control.Action) error {
	scope := s.Scope()
	if c := scope.Control(); !c.Allows(a.Kind()) {
		return fmt.Errorf("%s is not allowed by %s: %w", a.Verb, scope.Rule, syscall.EPERM)
	}
	return nil
}

// limit is what of the view a node must know.
func (s *Session) limit() control.Limit {
	l := control.Limit{Own: !s.Scope().Control().All}
	if !s.Limited() {
		return l
	}
	l.Shown = []uint32{}
	if u := s.User(); u != nil {
		if s.Sees(*u) {
			l.Shown = append(l.Shown, *u)
		}
		return l
	}
	l.Shown = append(l.Shown, s.Scope().UIDs()...)
	return l
}

// sendSome makes one exchange, for as many of the requests as one batch can have, and says how
// many these were.
func (s *Session) sendSome(ctx context.Context, n *proctable.Node, tasks []*task) (sent int) {
	batch := control.AppendHeader(nil, s.limit())
	head := len(batch)
	for i, t := range tasks {
		next := control.AppendRequest(batch, control.Request{ID: uint64(i), Target: t.native, Action: t.Action})
		if i > 0 && (len(next)-head > control.MaxBatch || i == control.MaxRequests) {
			break
		}
		batch, sent = next, i+1
	}
	tasks = tasks[:sent]
	answers, err := exchange(ctx, n, s.Who, batch)
	for i, t := range tasks {
		switch a, ok := answers[uint64(i)]; {
		case err != nil:
			t.err = err
		case !ok:
			t.err = fmt.Errorf("node %s gave no answer: %w", n.Name, syscall.EIO)
		case a.Errno != 0:
			t.err = a.Err()
		default:
			t.value, t.err = s.valueOf(t, a.Value)
		}
	}
	return sent
}

// exchange has a node carry out a batch.
func exchange(ctx context.Context, n *proctable.Node, who vfs.Identity, batch []byte) (map[uint64]control.Answer, error) {
	text, err := n.Control(ctx, who, batch)
	switch {
	case errors.Is(err, errors.ErrUnsupported) && n.Index == 0:
		return nil, fmt.Errorf("processes of %s, where aggrfs serve runs, are acted on there by kill(1) and its like: %w", n.Name, syscall.EPERM)
	case errors.Is(err, errors.ErrUnsupported):
		return nil, fmt.Errorf("node %s lets nobody act on its processes (procsrv --control there allows it): %w", n.Name, syscall.EPERM)
	case err != nil:
		return nil, n.Short(err)
	}
	_, text, err = control.CutHeader(text)
	var all []control.Answer
	if err == nil {
		all, err = control.ParseAnswers(text)
	}
	if err != nil {
		return nil, fmt.Errorf("node %s: %v: %w", n.Name, err, syscall.EIO)
	}
	answers := make(map[uint64]control.Answer, len(all))
	for _, a := range all {
		answers[a.ID] = a
	}
	return answers, nil
}

// valueOf is what an action has read, in the tree's numbers. A process that is not shown is 0, as
// in stat.
func (s *Session) valueOf(t *task, value string) (string, error) {
	if t.Verb != "getpgid" && t.Verb != "getsid" {
		return value, nil
	}
	pid, ok := gpid.ParsePID(value)
	if !ok {
		return "0", nil // what is in another pid namespace
	}
	if s.Limited() {
		known := t.node.Known()
		if known == nil {
			return "0", nil
		}
		if r, ok := known.Lookup(pid); !ok || !s.Sees(r.UID()) {
			return "0", nil
		}
	}
	return t.node.GPID(pid).String(), nil
}
