package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/pkg/ninep"
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

// openTable is open for a command that shows a table.
func (s *source) openTable(ctx context.Context, a *app) (*tree, error) {
	if !s.isRemote() {
		return s.open(ctx, a, "/proc")
	}
	path, err := s.path()
	if err != nil {
		return nil, err
	}
	addr, err := ninep.ParseAddr(s.server)
	if err != nil {
		return nil, fmt.Errorf("--server: %w", err)
	}
	name := s.serverName
	if name == "" {
		name = hostOf(addr)
	}
	keys, err := ninep.OpenTLS(s.tls, a.log)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key, --tls-ca: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := keys.Dial(ctx, addr, name)
	if err != nil {
		return nil, err
	}
	// The server knows the certificate, and not the user of this machine.
	client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{Log: a.log, Own: true})
	if err != nil {
		return nil, err
	}
	return &tree{Tree: client, Closer: client, aname: path}, nil
}
