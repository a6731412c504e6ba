// Command aggrfs shows the processes of a cluster as one /proc: it serves the
// merged tree over 9P (serve), mounts it (mount), and runs commands such as ps
// and top on it (exec).
package main

import (
	"context"
	"log/slog"
	"os"
	"runtime"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/command"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/internal/userdb"
)

// What the build may say otherwise (-X main.version=VERSION).
var (
	version = "unknown"
	// defaultServer is where aggrfs serve listens unless told otherwise.
	defaultServer = "unix:/run/aggrfs/aggrfs.sock"
	// installedConfig is the configuration that the service is started with.
	installedConfig = "/etc/aggrfs/aggrfs.yaml"
)

// What others see of the process is its first thread: that one lends its rights to nobody
// (package procfs9p). It is main's alone only if it is locked before main begins.
func init() { runtime.LockOSThread() }

func main() {
	nsexec.Stage()  // does not return in the processes that exec starts
	command.Stage() // nor in those that run a command of the configuration
	// exec handles signals itself: they are the command's.
	os.Exit(newApp().execute(context.Background(), os.Args[1:], os.Stdout))
}

// newApp is the program as it was built.
func newApp() *app {
	return &app{
		env: client.Env{
			Users: userdb.New(userdb.Config{}), Stderr: os.Stderr, Version: version,
			DefaultServer: defaultServer, InstalledConfig: installedConfig, UIDMap: "/proc/self/uid_map",
		},
		confine: func(log *slog.Logger) error { return privs.Keep(log, privs.Leaf()) },
	}
}
