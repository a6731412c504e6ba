// Package client is how a command gets its tree: from which server or nodes, for whom and of
// which nodes, and what an error on the way means, with the socket that it is about and the
// remedy.
//
// A [Source] is what a command line says of that; its flags are set by the command. OpenTable
// opens it for a command that shows a table of cluster/, Open for one that mounts it. Both give
// a [Tree]. None of its answers ever takes "no server" for "no processes": what is not known is
// an error that ends the command with exit.Unknown.
package client

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/aggrfs/aggrfs/internal/userdb"
)

// Env is what a program gives to all of its commands.
type Env struct {
	Log     *slog.Logger
	Users   *userdb.DB
	Stderr  io.Writer // where people are told what is not an error by itself
	Version string    // of the program
	// Server is the address of the server to ask where the command line says nothing, as the
	// environment names it (AGGRFS_SERVER); "" is the default one.
	Server string
	// DefaultServer is the address at which aggrfs serve listens unless told otherwise, and
	// InstalledConfig the configuration that its service is started with. Where either is there,
	// this machine has a cluster.
	DefaultServer, InstalledConfig string
	// UIDMap is the uid_map of this process's user namespace, see user_namespaces(7).
	UIDMap string
}

// Tell says on standard error what is not an error by itself, or an error at its end.
func (e *Env) Tell(format string, args ...any) {
	fmt.Fprintf(e.Stderr, "aggrfs: "+format+"\n", args...)
}
