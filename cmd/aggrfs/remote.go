package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// addTLSFlags is for the commands that can ask a server on another machine: they
// show tables, in which no pid is taken for one of this machine.
func (s *source) addTLSFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.tls.Cert, "tls-cert", "", "your certificate for a --server tls:HOST:PORT, a PEM `FILE`")
	cmd.Flags().StringVar(&s.tls.Key, "tls-key", "", "the certificate's private key, a PEM `FILE`")
	cmd.Flags().StringVar(&s.tls.CA, "tls-ca", "", "the CA of the server, a PEM `FILE`")
	cmd.Flags().StringVar(&s.serverName, "server-name", "", "the `NAME` in the server's certificate (default the host of its address)")
}

// hostOf is the host of an address on a network, by whose name a certificate is.
func hostOf(addr ninep.Addr) string {
	host, _, err := net.SplitHostPort(addr.Address)
	if err != nil {
		return ""
	}
	return host
}

func (s *source) isRemote() bool { return strings.HasPrefix(s.server, "tls:") }

// openTable is open for a command that shows a table. Of a running server that takes a
// connection, and no mirror.
func (s *source) openTable(ctx context.Context, a *app) (*tree, error) {
	if s.config != "" {
		return s.open(ctx, a, "/proc")
	}
	t, err := s.connect(ctx, a)
	if s.server == "" && noServer(err) {
		return s.open(ctx, a, "/proc")
	}
	return t, err
}

// connect opens the tree of a running server as it is there.
func (s *source) connect(ctx context.Context, a *app) (*tree, error) {
	path, err := s.path()
	if err != nil {
		return nil, err
	}
	address := cmp.Or(s.server, defaultServer)
	addr, err := ninep.ParseAddr(address)
	if err != nil {
		return nil, fmt.Errorf("--server: %w", err)
	}
	var keys *ninep.TLS
	var who vfs.Identity
	if s.isRemote() {
		if keys, err = ninep.OpenTLS(s.tls, a.log); err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key, --tls-ca: %w", err)
		}
	} else if who, err = s.who(ctx, a); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := keys.Dial(ctx, addr, cmp.Or(s.serverName, hostOf(addr)))
	if err != nil {
		return nil, s.ofServer(address, err)
	}
	// A server elsewhere knows the certificate, and not the user of this machine.
	client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{Log: a.log, Own: s.isRemote()})
	if err != nil {
		return nil, s.ofServer(address, err)
	}
	t := &tree{Tree: client, Closer: client, who: who, aname: path}
	root, err := t.root(ctx)
	if err == nil {
		t.patience, err = aggregate.Patience(ctx, root)
	}
	if err != nil {
		client.Close()
		return nil, s.ofServer(address, err)
	}
	return t, nil
}

// ofServer says which server an error is of, and what it means there.
func (s *source) ofServer(address string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT) && s.nodes != "" && !noServer(err):
		return fmt.Errorf("--nodes: the server at %s does not know all of %s (see aggrfs nodes)", address, s.nodes)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("server at %s: it does not answer: %w", address, err)
	}
	return fmt.Errorf("server at %s: %w", address, err)
}
