package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/app/cluster"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// openMirror opens the tree of a server on another machine for who mounts it here: this process answers
// the kernel, and asks the server.
func openMirror(ctx context.Context, s *Source, proc, native string) (*Tree, error) {
	// What is wrong is said by a connection, which is made and asked once.
	first, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	t := &Tree{Origin: OfServer, Who: first.Who, Path: first.Path, Remarks: first.Remarks, Remote: true, aname: first.Path, meaning: first.meaning}
	patience := first.Wait()
	first.Close()
	var nodes []string
	if expr, ok := strings.CutPrefix(t.Path, "/sets/"); ok {
		set, err := nodeset.Parse(expr)
		if err != nil {
			return nil, err
		}
		nodes = set.Names()
	}
	addr, err := s.Address()
	if err != nil {
		return nil, err
	}
	keys, err := ninep.OpenTLS(s.TLS, s.Log)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key, --tls-ca: %w", err)
	}
	var dialed atomic.Uint64
	open := cluster.Dialer(keys, addr, cmp.Or(s.ServerName, addr.Host()), ninep.ClientConfig{Log: s.Log, Own: true})
	limits := aggregate.Timeouts{Connect: OpenTimeout, Read: patience, Sweep: patience}
	m, err := aggregate.NewMirror(aggregate.MirrorConfig{
		Dial: cluster.Shared(func(ctx context.Context) (aggregate.Upstream, error) {
			up, err := open(ctx)
			if err == nil {
				dialed.Add(1)
			}
			return up, err
		}),
		// Whatever is shown after its time is the server's to show.
		Address: addr.String(), Who: vfs.Root, Path: t.Path, Nodes: nodes, Policy: cachepolicy.Default().WithoutStale(),
		Timeouts: limits, Proc: proc, Native: native, Log: s.Log,
	})
	if err != nil {
		return nil, err
	}
	t.Tree, t.Closer, t.Generation, t.Patience = m, m, m.Generation, limits.Patience()
	t.Gone = func() uint64 {
		gone := max(dialed.Load(), 1) - 1
		if m.Check(context.Background()) != nil {
			gone++
		}
		return gone
	}
	ctx, cancel := context.WithTimeout(ctx, OpenTimeout)
	defer cancel()
	if err := m.Check(ctx); err != nil {
		m.Close()
		if errors.Is(err, syscall.ENOENT) {
			return nil, exit.NotKnown(fmt.Errorf("the server at %s shows its tree to no other machine, being older than this program: run this there, or have it upgraded", addr))
		}
		return nil, s.serverError(addr, err)
	}
	return t, nil
}
