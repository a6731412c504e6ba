package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Where a cluster's front end is on its head node; the build may say otherwise.
var (
	// defaultServer is where aggrfs serve listens unless told otherwise.
	defaultServer = "unix:/run/aggrfs/aggrfs.sock"
	// installedConfig is the configuration that the service is started with.
	installedConfig = "/etc/aggrfs/aggrfs.yaml"
)

// A source says where a command gets the merged tree from, see from, and which
// part of it.
type source struct {
	server  string
	config  string
	local   bool
	nodes   []string // nodesets, which add up; none is all
	exclude []string // nodesets that are taken away
	as      string   // the user whose view it is; "" is this process's
	strict  bool     // an answer that lacks something is a failure

	tls        ninep.TLSFiles // for a server on another machine
	serverName string

	told bool // that it is this machine alone
}

func (s *source) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.server, "server", "", "`ADDRESS` of the aggrfs serve to ask (default "+defaultServer+")")
	f.StringVar(&s.config, "config", "", "configuration `FILE` of the cluster, to be connected to without a server")
	f.BoolVar(&s.local, "local", false, "this machine alone, without a server")
	f.StringVar(&s.as, "as", "", "see what this `USER` sees (for root)")
	s.addNodesFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("server", "config", "local") // as exclusive has it
}

// addStrictFlag adds --strict.
func (s *source) addStrictFlag(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVar(&s.strict, "strict", false, what)
}

// addTLSFlags is for the commands that can ask a server on another machine: they
// show tables, in which no pid is taken for one of this machine.
func (s *source) addTLSFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.tls.Cert, "tls-cert", "", "your certificate for a --server tls:HOST:PORT, a PEM `FILE`")
	f.StringVar(&s.tls.Key, "tls-key", "", "the certificate's private key, a PEM `FILE`")
	f.StringVar(&s.tls.CA, "tls-ca", "", "the CA of the server, a PEM `FILE`")
	f.StringVar(&s.serverName, "server-name", "", "the `NAME` in the server's certificate (default the host of its address)")
}

// An origin is one of the three places that the merged tree comes from.
type origin int

const (
	ofServer   origin = iota // a running aggrfs serve
	ofNodes                  // the nodes of a configuration, connected to from here
	ofThisHost               // this machine alone
)

// from decides where the tree comes from, by what was asked for and what is
// installed. It is never decided by who answers: where there is a cluster, a server
// that does not answer is an error, for this machine's processes alone would be
// taken for all of them. So they would by who asks for a whole answer (--strict) on a
// machine on which nothing is installed.
func (s *source) from(a *app) (origin, error) {
	switch {
	case s.local:
		return ofThisHost, nil
	case s.config != "":
		return ofNodes, nil
	case s.server != "" || hasCluster():
		return ofServer, nil
	case s.strict:
		return ofThisHost, notKnown(fmt.Errorf("--strict: there is neither a server (%s) nor a configuration (%s) on this machine: name one with --server or --config, or ask for this machine alone with --local", defaultServer, installedConfig))
	}
	if !s.told {
		a.tell("no server and no configuration: this machine alone")
		s.told = true
	}
	return ofThisHost, nil
}

// hasCluster reports whether this machine has a cluster's front end, running or not:
// its configuration or its socket. What cannot be looked at is there, and so is what a
// link to nothing stands for, as on a file system that is not mounted.
func hasCluster() bool {
	return exists(installedConfig) || exists(strings.TrimPrefix(defaultServer, "unix:"))
}

// exists reports whether there is anything at path, or any link to nothing on the way.
func exists(path string) bool {
	for name := path; ; name = filepath.Dir(name) {
		info, err := os.Lstat(name)
		switch {
		case !errors.Is(err, fs.ErrNotExist):
			return name == path || err != nil || info.Mode()&fs.ModeSymlink != 0 && !isDir(name)
		case name == filepath.Dir(name):
			return false
		}
	}
}

// isDir reports whether there is a directory at path, through links.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// address is where the server is.
func (s *source) address() (ninep.Addr, error) {
	if s.server == "" {
		return ninep.ParseAddr(defaultServer)
	}
	addr, err := ninep.ParseAddr(s.server)
	if err != nil {
		err = usage("--server: %w", err)
	}
	return addr, err
}

func (s *source) isRemote() bool { return strings.HasPrefix(s.server, "tls:") }

// self is the identity of this process, as a server finds it by its peer's
// credentials.
func self() (vfs.Identity, error) {
	groups, err := os.Getgroups()
	if err != nil {
		return vfs.Identity{}, err
	}
	who := vfs.Identity{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if who.IsRoot() {
		return vfs.Root, nil
	}
	for _, g := range groups {
		if uint32(g) != who.GID {
			who.Groups = append(who.Groups, uint32(g))
		}
	}
	slices.Sort(who.Groups)
	return who, nil
}

// renumbered reports whether a user has another number, or none, outside of the user
// namespace of that uid_map.
func renumbered(uidMap string, uid int) bool {
	outside, mapped := outsideUID(uidMap, uint32(uid))
	return !mapped || outside != uint32(uid)
}

// who is for whom the tree is opened.
func (s *source) who(ctx context.Context, a *app) (vfs.Identity, error) {
	switch {
	case s.as == "":
		return self()
	case os.Geteuid() != 0:
		return vfs.Identity{}, usage("--as: only root may see what others see")
	}
	who, err := a.users.Identity(ctx, s.as)
	if err != nil {
		err = a.badUser("--as", err)
	}
	return who, err
}

// badUser says that a user cannot be found.
func (a *app) badUser(flag string, err error) error {
	err = fmt.Errorf("%s: %w", flag, err)
	if errors.Is(err, userdb.ErrUnknown) {
		err = usage("%w", err)
	}
	return err // else nobody knows whether there is one
}
