package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Source says where a command gets the merged tree from, see from, and which part of it.
// The flags of a command set it.
type Source struct {
	*Env
	Server  string   // the address of a server; "" is the default one
	Config  string   // a configuration; "" is none
	Local   bool     // this machine alone
	Nodes   []string // nodesets, which add up; none is all
	Exclude []string // nodesets that are taken away
	As      string   // the user whose view it is; "" is this process's
	Strict  bool     // an answer that lacks something is a failure

	TLS        ninep.TLSFiles // for a server on another machine
	ServerName string         // in its certificate; "" is the host of its address

	told bool // that it is this machine alone
}

// An Origin is one of the three places that the merged tree comes from.
type Origin int

const (
	OfServer   Origin = iota // a running aggrfs serve
	OfNodes                  // the nodes of a configuration, connected to from here
	OfThisHost               // this machine alone
)

// from decides where the tree comes from, by the flags and by what is installed. It is never
// decided by what answers: where there is a cluster, a server that does not answer is an error,
// since this machine's processes alone would be taken for all of them. So they would with
// --strict, which is for a complete answer, on a machine on which nothing is installed.
func (s *Source) from() (Origin, error) {
	switch {
	case s.Local:
		return OfThisHost, nil
	case s.Config != "":
		return OfNodes, nil
	case s.Named() != "" || s.HasCluster():
		return OfServer, nil
	case s.Strict:
		return OfThisHost, exit.NotKnown(fmt.Errorf("--strict: there is neither a server (%s) nor a configuration (%s) on this machine: name one with --server or --config, or ask for this machine alone with --local", s.DefaultServer, s.InstalledConfig))
	}
	if !s.told {
		s.Tell("no server and no configuration: this machine alone")
		s.told = true
	}
	return OfThisHost, nil
}

// HasCluster reports whether this machine has a cluster's front end, running or not:
// its configuration or its socket. What cannot be looked at is there, and so is what a
// link to nothing stands for, as on a file system that is not mounted.
func (e *Env) HasCluster() bool {
	return exists(e.InstalledConfig) || exists(strings.TrimPrefix(e.DefaultServer, "unix:"))
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

// Named is the server that the command line names, or else the environment; "" is none.
func (s *Source) Named() string {
	if s.Server == "" && !s.Local && s.Config == "" {
		return s.Env.Server
	}
	return s.Server
}

// Address is where the server is.
func (s *Source) Address() (ninep.Addr, error) {
	named := s.Named()
	if named == "" {
		return ninep.ParseAddr(s.DefaultServer)
	}
	addr, err := ninep.ParseAddr(named)
	switch {
	case err != nil && s.Server == "":
		err = exit.Usagef("%s in the environment: %w", ServerVariable, err)
	case err != nil:
		err = exit.Usagef("--server: %w", err)
	}
	return addr, err
}

// ServerVariable is the environment's name for the server to ask.
const ServerVariable = "AGGRFS_SERVER"

// IsRemote reports whether the server is on another machine, which knows the user by a
// certificate.
func (s *Source) IsRemote() bool { return strings.HasPrefix(s.Named(), "tls:") }

// Self is the identity of this process, as a server finds it by its peer's
// credentials.
func Self() (vfs.Identity, error) {
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

// OutsideUID is the number of a user outside of the user namespace of that uid_map, see
// user_namespaces(7), if the user has any number in it.
func OutsideUID(uidMap string, uid uint32) (outside uint32, mapped bool) {
	text, err := os.ReadFile(uidMap)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		var first, there, count uint32
		if n, _ := fmt.Sscan(line, &first, &there, &count); n == 3 && uid >= first && uid-first < count {
			return there + (uid - first), true
		}
	}
	return 0, false
}

// renumbered reports whether a user has another number, or none, outside of the user
// namespace of that uid_map.
func renumbered(uidMap string, uid int) bool {
	outside, mapped := OutsideUID(uidMap, uint32(uid))
	return !mapped || outside != uint32(uid)
}

// who is for whom the tree is opened.
func (s *Source) who(ctx context.Context) (vfs.Identity, error) {
	switch {
	case s.As == "":
		return Self()
	case os.Geteuid() != 0:
		return vfs.Identity{}, exit.Usagef("--as: only root may see what others see")
	}
	who, err := s.Users.Identity(ctx, s.As)
	if err != nil {
		err = BadUser("--as", err)
	}
	return who, err
}

// BadUser says that a user, whom a flag names, cannot be found.
func BadUser(flag string, err error) error {
	err = fmt.Errorf("%s: %w", flag, err)
	if errors.Is(err, userdb.ErrUnknown) {
		err = exit.Usagef("%w", err)
	}
	return err // else it is not known if there is one
}
