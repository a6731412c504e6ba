package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/aggrfs/aggrfs/test/cluster/survey"
)

// users tries one mount with several users: each has their own tree.
func (g *guest) users(d dialect, w way) {
	if !d.users {
		return
	}
	g.check(name("access=user", d, w), func(c *check) {
		dir, unmount := mount(c, d, w, 0, "access=user,msize=65536")
		defer unmount()
		for _, uid := range []int{ann, bob, ann} {
			g.sees(c, dir, uid)
		}
	})
	g.check(name("what others have looks like what never was", d, w), func(c *check) {
		dir, unmount := mount(c, d, w, 0, "access=user,msize=65536")
		defer unmount()
		for _, uid := range []int{ann, bob} {
			for _, p := range g.roam(c, dir, uid) {
				c.errorf("user %d: %s", uid, p)
			}
		}
	})
	g.check(name("users at once", d, w), func(c *check) {
		dir, unmount := mount(c, d, w, 0, "access=user,msize=65536")
		defer unmount()
		var all sync.WaitGroup
		for _, uid := range []int{ann, bob, 0} {
			all.Go(func() {
				defer func() { recover() }() // what ends the check has been said
				for _, p := range g.roam(c, dir, uid) {
					// Look-ups of one name at one time share an answer in the
					// kernel, if it is that there is none; and root sees what the
					// plan has for ann's alone.
					if uid != 0 && !strings.HasSuffix(p, " does not exist") {
						c.errorf("user %d: %s", uid, p)
					}
				}
			})
		}
		all.Wait()
		g.heldByRoot(c, dir)
	})
	if w.name == "unix" {
		g.check(name("rights are the kernel's", d, w), func(c *check) { g.rights(c, d, w) })
		g.check(name("what docs/mount.md says of access=", d, w), func(c *check) { g.otherAccess(c, d, w) })
	}
	g.check(name("access=0", d, w), func(c *check) {
		dir, unmount := mount(c, d, w, 0, "access=0,msize=65536")
		defer unmount()
		if _, err := os.ReadFile(dir + "/cluster/nodes"); err != nil && w.name == "unix" {
			c.errorf("root: %v", err)
		}
		for _, path := range []string{"", "/cluster/nodes", "/1", "/1/stat", "/loadavg"} {
			if out, err := as(c, ann, "cat", dir+path).CombinedOutput(); err == nil || !strings.Contains(string(out), "not permitted") {
				c.errorf("a user reads %s: %v, %s", path, err, out)
			}
		}
	})
}

// nobody mounts by a way and in a dialect that say nothing of who reads: the mount
// works, and nobody's processes are there.
func nobody(c *check, d dialect, w way) {
	dir, unmount := mount(c, d, w, 0, "msize=65536")
	defer unmount()
	entries := names(c, dir, 32<<10, false)
	if !slices.Contains(entries, "cluster") {
		c.errorf("no cluster in %v", entries)
	}
	for _, name := range entries {
		if _, err := strconv.Atoi(name); err == nil {
			c.errorf("process %s", name)
		}
	}
	if _, err := os.ReadFile(dir + "/1/status"); err == nil {
		c.errorf("process 1 can be read")
	}
}

// sees compares what is listed to a user on the tree with what is theirs by the
// views.
func (g *guest) sees(c *check, dir string, uid int) {
	var want []string
	for pid := range strings.FieldsSeq(output(c, as(c, 0, "pgrep", "-u", strconv.Itoa(uid)))) {
		if uid == ann { // who sees the head, too
			want = append(want, pid)
		}
		want = append(want, global(pid))
	}
	list := as(c, uid, "ls", dir)
	var got []string
	for name := range strings.FieldsSeq(output(c, list)) {
		own := strconv.Itoa(list.Process.Pid)
		if _, err := strconv.Atoi(name); err == nil && name != own && name != global(own) {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) < 6 {
		c.errorf("user %d sees %v, not %v", uid, got, want)
	}
	argv := []string{"ps", "-eo", "uid="}
	if out := output(c, on(c, dir, uid, argv...)); strings.Trim(out, " \n"+strconv.Itoa(uid)) != "" || strings.Count(out, "\n") < len(want) {
		c.errorf("ps shows processes of %s", out)
	}
}

// roam has a user look around at random, and returns what should not have been.
func (g *guest) roam(c *check, dir string, uid int) (problems []string) {
	plan, err := json.Marshal(g.plan(dir, max(uid, ann)))
	c.must(err)
	cmd := as(c, uid, "/init", "roam")
	cmd.Stdin = strings.NewReader(string(plan))
	c.must(json.Unmarshal([]byte(output(c, cmd)), &problems))
	return problems
}

// heldByRoot is a process of bob's that root has open, so that the kernel's client
// holds its path, as ann looks for it: to her it does not exist. What the client
// does not ask the server is left out: access(2) says that it does, while it is
// held.
func (g *guest) heldByRoot(c *check, dir string) {
	path := fmt.Sprintf("%s/%d", dir, 10_000_000+g.pids[bob][0])
	held, err := os.Open(path + "/status")
	c.must(err)
	defer held.Close()
	there := as(c, ann, "/init", "access", path).Run() == nil
	nowhere := as(c, ann, "/init", "access", dir+"/19999998").Run() == nil
	if !there || nowhere {
		c.errorf("access(2) says %v of what is held, %v of what is not there: docs/mount.md says otherwise", there, nowhere)
	}
	for _, argv := range [][]string{{"ls", "-d", path}, {"ls", path}, {"cat", path + "/status"}, {"cat", path + "/stat"}, {"ls", "-l", path + "/exe"}} {
		if out, err := as(c, ann, argv...).CombinedOutput(); err == nil || !strings.Contains(string(out), "No such file") {
			c.errorf("%v: %v, %s", argv, err, out)
		}
	}
}

// otherAccess tries the values of access= that docs/mount.md warns of, and Linux's
// own.
func (g *guest) otherAccess(c *check, d dialect, w way) {
	bobs := fmt.Sprintf("/%d/status", 10_000_000+g.pids[bob][0])
	for access, shown := range map[string]bool{"any": true, strconv.Itoa(ann): true, "client": false} {
		dir, unmount := mount(c, d, w, 0, "msize=65536,access="+access)
		out, err := as(c, ann, "cat", dir+bobs).CombinedOutput()
		if (err == nil) != shown {
			c.errorf("access=%s: ann reads a process of bob's: %v, %s", access, err, out)
		}
		if access == "client" {
			g.sees(c, dir, ann)
		}
		unmount()
	}
}

// plan is what a user looks at: what is theirs, and what is others' as if it were
// nowhere.
func (g *guest) plan(dir string, uid int) survey.Roam {
	r := survey.Roam{
		Root: dir, Looks: 60, Seed: uint64(uid),
		Nowhere: []string{"19999998", "n1:4000000", "nodes/n1/4000000", "users/nosuchuser", "nodes/n7", "sets/n9", "30000001"},
		Places:  []string{"", "nodes", "sets", "users", "cluster", "cluster/nodes", "cluster/whoami", "nodes/n1", "loadavg", "meminfo"},
	}
	for owner, pids := range g.pids {
		for _, pid := range pids {
			there := 10_000_000 + pid
			onHead := []string{strconv.Itoa(pid), fmt.Sprintf("head:%d", pid), fmt.Sprintf("nodes/head/%d", pid)}
			onN1 := []string{strconv.Itoa(there), fmt.Sprintf("n1:%d", pid), fmt.Sprintf("nodes/n1/%d", pid), fmt.Sprintf("sets/n1/%d", there)}
			switch {
			case owner != uid:
				r.Others = append(append(r.Others, onHead...), onN1...)
				r.Secrets = append(r.Secrets, fmt.Sprintf("/%d/", pid), fmt.Sprintf("/%d/", there))
			case uid == ann:
				r.Own = append(append(r.Own, onHead...), onN1...)
			default: // bob has no view of the head, but could be any of his processes there
				r.Own = append(r.Own, onN1...)
				r.Others = append(r.Others, onHead[1:]...)
			}
		}
	}
	return r
}

// writes tries to change the tree, which the mount lets through to the server.
func writes(c *check, d dialect, w way) {
	dir, unmount := mount(c, d, w, 0, "access=user,msize=65536")
	defer unmount()
	open := func(flags int, name string) error {
		fd, err := syscall.Open(dir+name, flags, 0o644)
		if err == nil {
			syscall.Close(fd)
		}
		return err
	}
	refused := map[string]error{
		"open for writing":             open(syscall.O_WRONLY, "/1/comm"),
		"open for reading and writing": open(syscall.O_RDWR, "/10000001/oom_score_adj"),
		"create":                       open(syscall.O_WRONLY|syscall.O_CREAT, "/new"),
		"truncate":                     syscall.Truncate(dir+"/meminfo", 0),
		"mkdir":                        syscall.Mkdir(dir+"/new", 0o755),
		"mknod":                        syscall.Mknod(dir+"/new", syscall.S_IFIFO|0o600, 0),
		"symlink":                      syscall.Symlink("x", dir+"/new"),
		"link":                         syscall.Link(dir+"/meminfo", dir+"/new"),
		"rename":                       syscall.Rename(dir+"/meminfo", dir+"/new"),
		"unlink":                       syscall.Unlink(dir + "/meminfo"),
		"rmdir":                        syscall.Rmdir(dir + "/10000001"),
		"chmod":                        syscall.Chmod(dir+"/meminfo", 0o666),
		"chown":                        syscall.Chown(dir+"/meminfo", 1, 1),
		"utimes":                       syscall.Utimes(dir+"/meminfo", []syscall.Timeval{{}, {}}),
		"setxattr":                     syscall.Setxattr(dir+"/meminfo", "user.x", []byte("y"), 0),
	}
	if !d.users { // of these 9P2000 has no message
		for _, what := range []string{"mknod", "symlink", "link", "chown", "setxattr"} {
			delete(refused, what)
		}
	}
	for what, err := range refused {
		if !errors.Is(err, syscall.EROFS) {
			c.errorf("%s: %v, not EROFS", what, err)
		}
	}
}
