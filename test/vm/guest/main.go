// Command guest is the init of the machine of package vm. It does all checks, and
// says what came of each on the serial console (package report). Run as anything
// else than the first process it is one of the processes that it starts:
//
//	guest on DIR UID COMMAND [ARG...]   COMMAND as UID, with DIR as its /proc
//	guest fds N                         a process that has N files open
//	guest access PATH                   fails unless access(2) and chdir(2) find it
//	guest roam                          a survey.Roam, from standard input
//	guest survey                        a survey.Request, from standard input
//
// Everything is served from a second procfs, mounted on /native: what the tree is
// mounted over must not be what it shows.
package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/test/vm/report"
)

func main() {
	if os.Getpid() != 1 {
		play(os.Args[1:])
		return
	}
	// The init must not end: that is a kernel panic.
	start := time.Now()
	g := &guest{}
	g.all()
	g.send(report.Result{Name: report.End, Took: time.Since(start)})
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // which ends qemu
	select {}
}

// all does all checks, in an order that lets the later ones spoil what the earlier
// ones need.
func (g *guest) all() {
	if !g.check("boot", g.boot) {
		return
	}
	g.check("aggrfs mount without 9p", withoutClient)
	if !g.check("modules", loadModules) || !g.check("servers", g.serve) {
		return
	}
	for _, d := range dialects {
		for _, w := range ways {
			if !d.users && w.uid != 0 {
				g.check(name("nobody in particular", d, w), func(c *check) { nobody(c, d, w) })
				continue
			}
			g.tools(d, w)
			g.users(d, w)
			g.listings(d, w)
			g.check(name("writes are refused", d, w), func(c *check) { writes(c, d, w) })
		}
	}
	g.check("aggrfs mount --type 9p", g.mountCommand)
	g.check("docs/mount.md", documented)
	g.check("aggrfs exec", g.exec)
	g.check("aggrfs exec outlives its server", g.outlive)
	g.check("a leaf that hangs", g.hang)
	g.check("a server that is killed", g.kill)
	g.check("kernel log", kernelLog)
}

// name is a check's name for a dialect and a way.
func name(what string, d dialect, w way) string {
	return fmt.Sprintf("%s, %s over %s", what, d.name, w.name)
}
