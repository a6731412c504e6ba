package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/internal/service"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/spf13/cobra"
)

// defaultListen is where procsrv listens unless told otherwise.
const defaultListen = "unix:/run/procsrv/procsrv.sock"

// options are the flags.
type options struct {
	proc         string
	listen       []string
	insecure     bool
	tls          ninep.TLSFiles
	frontEnds    []string
	certificates []string // NAME=USER
	control      string   // none, own or all
	level        slog.Level
	stdio        bool
	// confine gives up all rights but those.
	confine func(*slog.Logger, []privs.Want) error
}

// command is procsrv's command line; log lines go to logTo.
func command(logTo io.Writer, confine func(*slog.Logger, []privs.Want) error) *cobra.Command {
	o := options{confine: confine}
	c := &cobra.Command{
		Use:   "procsrv",
		Short: "Serve this node's /proc over 9P",
		Long: `procsrv serves a node's /proc over 9P (9P2000.L) to aggrfs, and to anyone who mounts
it. It is read-only, and shows to each user what the kernel shows to that user. It runs
until SIGTERM or SIGINT.

With --control it also carries out what a front end asks for a user (signals, priorities,
processors, limits), as that user: see docs/control.md.

With --stdio it speaks 9P over its standard input and output, with the aggrfs that started it
(by ssh, say: see docs/link.md), until those are closed. It then reads with the rights of who
started it, and lends none to others; what root starts reads for others as them. It logs errors
alone unless --log-level says otherwise.

It is started as root and then gives up the rights of root that it does not need, or as a
user of its own with the capabilities that are needed to read all of /proc (see
procsrv.service). The first line of its log says which rights it has, and what does not work
without the others.`,
		Example: `  procsrv
  procsrv --listen unix:/run/procsrv/procsrv.sock --listen unix:/srv/proc.sock
  procsrv --listen tls:0.0.0.0:5640 --tls-cert n12.crt --tls-key n12.key --tls-ca ca.crt --front-end head
  procsrv --insecure --listen tcp:10.1.0.12:5640
  ssh n12 procsrv --stdio`,
		Args:          cobra.NoArgs,
		Version:       buildVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.stdio {
				if !c.Flags().Changed("log-level") {
					o.level = slog.LevelError
				}
				return serveStdio(c.Context(), o, os.Stdin, os.Stdout, service.NewLogger(logTo, o.level))
			}
			log := service.NewLogger(logTo, o.level)
			return serve(c.Context(), o, log)
		},
	}
	f := c.Flags()
	f.StringVar(&o.proc, "proc", "/proc", "serve the procfs in this `DIR`")
	f.StringArrayVar(&o.listen, "listen", []string{defaultListen}, "listen on `ADDR`, unix:PATH, tls:HOST:PORT or tcp:HOST:PORT; repeatable")
	f.StringVar(&o.tls.Cert, "tls-cert", "", "this node's certificate, a PEM `FILE`; a changed file is read again, and so are the next two")
	f.StringVar(&o.tls.Key, "tls-key", "", "the certificate's private key, a PEM `FILE` that only its owner can read")
	f.StringVar(&o.tls.CA, "tls-ca", "", "the CAs whose certificates are accepted from clients, a PEM `FILE`")
	f.StringArrayVar(&o.frontEnds, "front-end", nil, "let the certificate of this `NAME` read as any user, root too; repeatable")
	f.StringArrayVar(&o.certificates, "certificate", nil, "`NAME=USER`: let the certificate of that name read as that user of this node; repeatable")
	f.BoolVar(&o.insecure, "insecure", false, "allow tcp: addresses, where whoever reaches the port can claim to be any user, root too")
	f.StringVar(&o.control, "control", "none", "let users act on processes of this node through aggrfs: `WHOSE` is none, own (those that they run) or all (what the kernel lets them)")
	f.BoolVar(&o.stdio, "stdio", false, "speak 9P over standard input and output instead, with who started this, and with their rights")
	for _, other := range []string{"listen", "insecure", "control", "tls-cert", "tls-key", "tls-ca", "front-end", "certificate"} {
		c.MarkFlagsMutuallyExclusive("stdio", other)
	}
	f.TextVar(&o.level, "log-level", slog.LevelInfo, "log from this `LEVEL` on: debug, info, warn or error")
	return c
}

// addresses reads the addresses and refuses what needs --insecure.
func (o options) addresses() ([]ninep.Addr, error) {
	if len(o.listen) == 0 {
		return nil, fmt.Errorf("no address to listen on: give --listen ADDR")
	}
	addrs := make([]ninep.Addr, len(o.listen))
	for i, s := range o.listen {
		a, err := ninep.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("--listen: %w", err)
		}
		if a.Network == "tcp" && !o.insecure {
			return nil, fmt.Errorf("--listen %s: over plain TCP whoever reaches the port can claim to be any user; use tls:HOST:PORT or unix:PATH, or add --insecure if everybody on the network is trusted", s)
		}
		addrs[i] = a
	}
	return addrs, nil
}

// version is set by the linker: -X main.version=VERSION.
var version string

// buildVersion is the linker's, or else what the go command noted.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
