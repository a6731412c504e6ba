package aggregate

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/sums"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxSumPart bounds one node's part of a file that is a sum, in bytes: the
// cpuinfo of 2,048 processors is 3 MiB.
const maxSumPart = 16 << 20

// newSumFile makes the root file of that name out of those of the view's nodes.
func newSumFile(v *view, name string, id uint64) vfs.Node {
	return &madeFile{made: v.c.made, id: id, content: func(ctx context.Context) ([]byte, error) {
		return sums.For(name)(v.gather(ctx, name), v.sumReader()), nil
	}}
}

// gather reads one root file on all nodes of the view at once. What has not
// come by the sweep's deadline is not in the sum.
func (v *view) gather(ctx context.Context, name string) []sums.Part {
	nodes := v.nodes()
	texts := eachNode(ctx, nodes, func(ctx context.Context, n *node) (text []byte) {
		r := remote{n: n, v: v, path: []string{name}}
		one := func(ctx context.Context) (text []byte, err error) {
			err = n.call(ctx, v.who, func(ctx context.Context, root vfs.Dir) error {
				text, err = vfs.ReadFile(ctx, root, maxSumPart, name)
				return err
			})
			return text, err
		}
		if key, ok := r.kept(); ok {
			held, err := n.store.Read(ctx, key, one)
			if err == nil {
				text = held.Content
			}
		} else {
			text, _ = one(ctx) // why not is in the node's health
		}
		if text != nil {
			text = n.limit(ctx, v, name, text)
		}
		return text
	})
	var parts []sums.Part
	for i, n := range nodes {
		if texts[i] == nil {
			continue
		}
		hz := v.c.host.hz
		if k := n.clock.Load(); k != nil {
			hz = int64(k.facts.Hz)
		}
		parts = append(parts, sums.Part{Node: string(n.name), Index: n.index, Text: texts[i], Hz: hz})
	}
	return parts
}

// sumReader is the reader's part of the files that are sums.
func (v *view) sumReader() sums.Reader {
	c := v.c
	r := sums.Reader{BootTime: v.host.boot.Unix(), Hz: v.host.hz}
	raw, err := os.ReadFile(c.cfg.Proc + "/stat")
	if err != nil {
		return r
	}
	if _, line, ok := bytes.Cut(raw, []byte("\nbtime ")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		if n, err := strconv.ParseInt(string(line), 10, 64); err == nil {
			r.BootTime = n - int64(c.host.boot.Sub(v.host.boot)/time.Second)
		}
	}
	return r
}
