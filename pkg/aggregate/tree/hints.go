package tree

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Hints are what a cluster tells those who mirror it, in the file cluster/hints: a
// line a hint, its name and its value. Lines that are not known are passed over.
type hints struct {
	timeouts upstream.Timeouts // that an exchange of the cluster's with a node may take
	bootID   string            // of the machine that the cluster's front end is on
	remarks  bool              // its tables of processes say what they lack, see remarks.go
}

const hintsFile = "hints"

// hintsTable is cluster/hints.
func (v viewTree) hintsTable() []byte {
	t := v.t.Timeouts
	return plaintext.Table([][]string{
		{"connect", t.Connect.String()}, {"read", t.Read.String()}, {"sweep", t.Sweep.String()},
		{"boot_id", v.Host.BootID}, {"remarks", "yes"},
	})
}

// maxHints bounds the file, in bytes.
const maxHints = 1 << 16

// readHints reads a cluster's hints; zero is what it does not say.
func readHints(ctx context.Context, n *proctable.Node) (h hints, err error) {
	err = n.Call(ctx, n.Reader, func(ctx context.Context, root vfs.Dir) error {
		text, err := vfs.ReadFile(ctx, root, maxHints, "cluster", hintsFile)
		if err == nil {
			h = parseHints(text)
		}
		return err
	})
	return h, err
}

// Patience is how long a request of a cluster's tree may take, as that says itself in
// cluster/hints, and whether its tables of processes say what they lack, as those of an
// older front end do not. ENOENT is that the tree is no cluster's.
func Patience(ctx context.Context, root vfs.Dir) (patience time.Duration, remarks bool, err error) {
	text, err := vfs.ReadFile(ctx, root, maxHints, "cluster", hintsFile)
	if err != nil {
		return 0, false, err
	}
	h := parseHints(text)
	return h.timeouts.Patience(), h.remarks, nil
}

func parseHints(text []byte) (h hints) {
	for line := range bytes.Lines(text) {
		var name, value string
		if n, _ := fmt.Sscan(string(line), &name, &value); n != 2 {
			continue
		}
		switch name {
		case "boot_id":
			h.bootID = value
			continue
		case "remarks":
			h.remarks = value == "yes"
			continue
		}
		span, _ := time.ParseDuration(value) // what is none is zero
		span = max(0, min(span, maxPatience))
		switch name {
		case "connect":
			h.timeouts.Connect = span
		case "read":
			h.timeouts.Read = span
		case "sweep":
			h.timeouts.Sweep = span
		}
	}
	return h
}

// maxPatience bounds what a cluster can make a mirror wait.
const maxPatience = time.Minute

// follow makes the node that is a cluster be waited for as long as that itself may
// wait for a node, and some more.
func follow(n *proctable.Node, h hints) {
	if t := h.timeouts; t.Read > 0 {
		n.SetTimeouts(upstream.Timeouts{Connect: n.Limits().Connect, Read: t.Patience(), Sweep: t.Sweep + time.Second})
	}
}
