package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	gpids "github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
)

// elsewhere is what a user of another machine has of a site: its address, and certificates.
type elsewhere struct {
	*site
	dir string // of the certificates
}

// The users of the certificates are those of every user database, so that they have groups.
var daemon, binUser = vfs.Identity{UID: 1, GID: 1}, vfs.Identity{UID: 2, GID: 2}

// newElsewhere is a site that listens for certificates: of alice, bob and root, and of a stranger.
func newElsewhere(t *testing.T, nodes int, extra string) elsewhere {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	for _, args := range [][]string{{"init", dir}, {"issue", "--dir", dir, "head,alice,bob,root,stranger"}} {
		if out, err := output(exec.Command(filepath.Join(bin, "aggrfs"), append([]string{"certs"}, args...)...)); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	s := newSite(t, cluster.Options{Nodes: nodes}, extra+fmt.Sprintf("tls: {cert: %[1]s/head.crt, key: %[1]s/head.key, ca: %[1]s/ca.crt}\n"+
		"certificates: {alice: daemon, bob: bin, root: root}\n", dir))
	for _, n := range s.cluster.Nodes {
		for _, who := range []vfs.Identity{daemon, binUser} {
			for i := range 2 {
				if _, err := n.Spawn(cluster.Process{UID: who.UID, GID: who.GID, Argv: []string{"sleep", fmt.Sprint(700000 + i)}}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return elsewhere{s, dir}
}

// args is a subcommand of aggrfs on another machine with that certificate.
func (e elsewhere) args(cert, sub string, args ...string) []string {
	return append([]string{sub, "--server", e.tls, "--server-name", "head", "--tls-ca", e.dir + "/ca.crt",
		"--tls-cert", e.dir + "/" + cert + ".crt", "--tls-key", e.dir + "/" + cert + ".key"}, args...)
}

// run runs it as root of this machine.
func (e elsewhere) run(cert, sub string, args ...string) string {
	e.t.Helper()
	out, err := output(exec.Command(filepath.Join(bin, "aggrfs"), e.args(cert, sub, args...)...))
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// lent has a user of this machine own copies of a certificate and its key.
func (e elsewhere) lent(cert string, who vfs.Identity) elsewhere {
	e.t.Helper()
	dir := e.t.TempDir()
	reachable(e.t, filepath.Join(dir, "x"))
	for _, name := range []string{"ca.crt", cert + ".crt", cert + ".key"} {
		text, err := os.ReadFile(filepath.Join(e.dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err == nil {
			err = os.Chown(filepath.Join(dir, name), int(who.UID), int(who.GID))
		}
		if err != nil {
			e.t.Fatal(err)
		}
	}
	return elsewhere{e.site, dir}
}

const elsewhereViews = "views: [{users: daemon, nodes: n1, processes: all}, {users: bin, nodes: all, processes: own}]\n"

// rowsOf are lines of a pid, a uid and a command, of processes that are not of the test's making.
func rowsOf(text string) (rows []string) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if g, err := strconv.Atoi(f[0]); err == nil && g >= gpids.Stride && g < gpids.Elsewhere && !strings.Contains(line, "nasty") {
			rows = append(rows, strings.Join(f, " "))
		}
	}
	slices.Sort(rows)
	return rows
}

// exec and mount on another machine show what the server shows to the user of the certificate, whoever runs it:
// the same processes under the same numbers, and of each what that user may read on the node.
func TestMountElsewhere(t *testing.T) {
	e := newElsewhere(t, 2, elsewhereViews)
	for cert, who := range map[string]vfs.Identity{"root": vfs.Root, "alice": daemon, "bob": binUser} {
		exact := func(what string, exec func() string) {
			t.Helper()
			n := e.sameRows(what, func(row string) string { return row }, func() []string {
				return rowsOf(e.run(cert, "ps", "--no-headers", "-o", "pid,user,args"))
			}, func() []string { return rowsOf(exec()) })
			if n == 0 {
				t.Errorf("%s: there are no processes", what)
			}
		}
		ps := []string{"--", "ps", "-eo", "pid=,user:20=,args="}
		exact(cert+", by root", func() string { return e.run(cert, "exec", ps...) })
		if who.IsRoot() {
			continue
		}
		theirs := e.lent(cert, who)
		exact(cert+", by the user", func() string {
			out, err := e.asUser(who, theirs.args(cert, "exec", ps...)...)
			if err != nil {
				t.Fatal(err)
			}
			return out
		})
		// What may be read of a process, and with which error it is refused, as on the server's machine.
		const look = `for p in /proc/[1-9]*; do for f in stat status environ exe cgroup fd; do
echo "${p#/proc/} $f $(cat $p/$f 2>&1 >/dev/null | sed 's/.*: //')"; done; done`
		e.eventuallyNil(cert+" may read the same", func() error {
			here, err := e.asUser(who, theirs.args(cert, "exec", "--", "sh", "-c", look)...)
			if err != nil {
				return err
			}
			there, err := e.asUser(who, "exec", "--server", e.server, "--", "sh", "-c", look)
			if err != nil {
				return err
			}
			got, want := looked(here), looked(there)
			if !slices.Equal(got, want) || len(got) < 12 {
				return fmt.Errorf("elsewhere\n%s\nand on the server's machine\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			// Their own environ, and, where there are others, not that of those.
			if text := strings.Join(got, "\n") + "\n"; !strings.Contains(text, " environ\n") || cert == "alice" && !strings.Contains(text, " environ Permission denied\n") {
				return fmt.Errorf("environ of whom they may and may not read: \n%s", text)
			}
			return nil
		})
	}
	// Who is nobody to the server sees nothing, and no process of the other machine.
	out, err := output(exec.Command(filepath.Join(bin, "aggrfs"), e.args("stranger", "exec", "--", "sh", "-c", "ls /proc | grep -c '^[0-9]'")...))
	if err == nil || !strings.Contains(err.Error(), "no nodes") || out != "1\n" {
		t.Errorf("a stranger sees %q (%v)", out, err)
	}
	// Processes of the server's machine have other numbers than their pids, which are this machine's.
	own := fmt.Sprint(os.Getpid())
	if out := e.run("root", "exec", "--", "sh", "-c", "ls -d /proc/"+own+" 2>&1; cut -d' ' -f1 /proc/"+fmt.Sprint(gpids.Elsewhere+os.Getpid())+"/stat"); !strings.Contains(out, "No such file") || !strings.HasSuffix(out, fmt.Sprint(gpids.Elsewhere+os.Getpid())+"\n") {
		t.Errorf("a process of the server's machine: %q", out)
	}
	if out := e.run("root", "where", fmt.Sprint(gpids.Elsewhere+os.Getpid())); !strings.Contains(out, "head") || !strings.Contains(out, own) {
		t.Errorf("where it is: %q", out)
	}
	for flag, want := range map[string]string{"--allow-other": "one user of the certificate", "--as=bob": "by your certificate"} {
		if out, err := output(exec.Command(filepath.Join(bin, "aggrfs"), e.args("root", "mount", flag, t.TempDir())...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("mount %s: %v %s", flag, err, out)
		}
	}
}

// looked are the lines of a command about processes of nodes.
func looked(text string) (lines []string) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if g, err := strconv.Atoi(f[0]); err == nil && g >= gpids.Stride && g < gpids.Elsewhere {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// exec and mount on another machine outlive the server: meanwhile everything fails, and nothing is empty.
func TestMountElsewhereOutlivesTheServer(t *testing.T) {
	e := newElsewhere(t, 1, elsewhereViews+"timeouts: {connect: 3s, read: 3s, sweep: 3s}\n")
	dir := t.TempDir()
	cmd := exec.Command(filepath.Join(bin, "aggrfs"), e.args("root", "mount", dir)...)
	var mounted log
	cmd.Stderr = &mounted
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || strings.Contains(mounted.String(), "DATA RACE") {
			t.Errorf("aggrfs mount: %v\n%s", err, &mounted)
		}
	})
	e.eventually("it is mounted", func() bool {
		_, err := os.Stat(filepath.Join(dir, "cluster/nodes"))
		return err == nil
	})
	all := []*following{
		follow(t, "mount", nil, dir),
		follow(t, "exec", append([]string{filepath.Join(bin, "aggrfs")}, e.args("alice", "exec", "--")...), "/proc"),
	}
	e.killed = true
	kill := func(sig syscall.Signal) func() {
		return func() {
			if err := syscall.Kill(e.pid(), sig); err != nil {
				t.Fatal(err)
			}
		}
	}
	e.outlives("kill -9", 3, all, kill(syscall.SIGKILL), e.serve)
	e.outlives("a restart", 3, all, e.stop, e.serve)
	e.outlives("SIGSTOP", 1, all, kill(syscall.SIGSTOP), kill(syscall.SIGCONT))
	for _, f := range all {
		f.end(t)
		// Without a server no process is said to have ended.
		if strings.Contains(f.report, " ESRCH") {
			t.Errorf("%s: %s", f.name, f.report)
		}
	}
	if waiting := uninterruptible(t); waiting != "" {
		t.Errorf("these wait in a way that no signal ends:\n%s", waiting)
	}
}
