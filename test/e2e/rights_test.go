package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/cluster/control"
	"github.com/aggrfs/aggrfs/test/cluster/survey"
	"github.com/aggrfs/aggrfs/test/wait"
)

// unexported is what a leaf never shows, by docs/namespace.md, and what names the
// reader, who is another one in the tree.
var unexported = []string{
	"kcore", "kmsg", "kpagecount", "kpageflags", "kpagecgroup", "sysrq-trigger", "vmcore", "bus/pci", "acpi/event",
	"sys/vm/stat_refresh", "fs/nfsd", "mem", "pagemap", "clear_refs", "channel", "self", "thread-self", "keys",
}

// projectGroup is a group that alice is in on some surveys.
const projectGroup = 4711

// Readers who survey.
var (
	alice      = vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
	aliceInOne = vfs.Identity{UID: cluster.Alice, GID: cluster.Alice, Groups: []uint32{projectGroup}}
	aliceSwap  = vfs.Identity{UID: cluster.Alice, GID: projectGroup, Groups: []uint32{cluster.Alice}}
	bob        = vfs.Identity{UID: cluster.Bob, GID: cluster.Bob}
	whoSurveys = map[string][]vfs.Identity{ // by options of the procfs
		"hidepid=0":          {vfs.Root, alice, aliceInOne, aliceSwap, bob},
		"hidepid=1":          {alice, bob},
		"hidepid=2,gid=4711": {alice, aliceInOne},
	}
)

// rightsSite is a node with processes that the kernel shows to different readers
// differently, all of which a view shows to everybody.
func rightsSite(t *testing.T, procOptions string) (s *site, request survey.Request) {
	t.Helper()
	s = newSite(t, cluster.Options{
		Nodes: 1, ProcOptions: procOptions, Workload: func(string) []cluster.Process { return nil },
	}, "cache: 300ms\nviews: [{users: [\"1001\", \"1002\"], nodes: all, processes: all}]\n")
	n := s.cluster.Nodes[0]
	privileged := func(name string, spoil func(path string) error) string {
		t.Helper()
		program, err := os.ReadFile("/usr/bin/sleep")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(n.Root, "opt", name)
		if err := os.WriteFile(path, program, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		return "/opt/" + name
	}
	suid := privileged("suid-sleep", func(path string) error { return os.Chmod(path, 0o755|os.ModeSetuid) })
	// struct vfs_cap_data of linux/capability.h, revision 2: CAP_NET_RAW, effective.
	capability := []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	capable := privileged("capable-sleep", func(path string) error { return unix.Setxattr(path, "security.capability", capability, 0) })
	a, b := cluster.Alice, cluster.Bob
	for _, p := range []cluster.Process{
		{Argv: []string{"sleep", "1000001"}},
		{UID: a, GID: a, Argv: []string{"sleep", "1000002"}},
		{UID: b, GID: b, Argv: []string{"sleep", "1000003"}},
		{UID: a, GID: projectGroup, Argv: []string{"sleep", "1000004"}},
		{UID: a, GID: a, Path: suid, Argv: []string{"suid-sleep", "1000005"}},
		{UID: a, GID: a, Path: capable, Argv: []string{"capable-sleep", "1000006"}},
		{UID: a, GID: a, Role: control.RoleUndumped, Argv: []string{"undumped"}},
		{UID: a, GID: a, Role: control.RoleZombie, Argv: []string{"zombies"}},
		{UID: a, GID: a, Role: control.RoleThreads, Argv: []string{"threads"}},
		{UID: a, GID: a, Role: control.RoleBoxed, Argv: []string{"boxed", "by alice"}},
		{Role: control.RoleBoxed, Argv: []string{"boxed", "by root", fmt.Sprint(a)}},
	} {
		if _, err := n.Spawn(p); err != nil {
			t.Fatal(err)
		}
	}
	// The processes and the children that some of them start.
	s.eventually("all processes are there", func() bool {
		out, err := n.Command(t.Context(), "ps", "-eo", "pid=,stat=,args=").Output()
		if err != nil {
			t.Fatal(err)
		}
		request = survey.Request{Skip: slices.Clone(unexported)}
		zombie, boxed := false, 0
		for line := range strings.Lines(string(out)) {
			f := strings.Fields(line)
			var pid int
			fmt.Sscan(f[0], &pid)
			if f[2] != "ps" && f[2] != "procsrv" && !strings.HasPrefix(f[2], "nsenter") {
				request.PIDs = append(request.PIDs, pid)
			}
			if f[2] == "threads" {
				request.Deep = append(request.Deep, pid)
			}
			zombie = zombie || f[1][0] == 'Z'
			if f[2] == "boxed" {
				boxed++
			}
		}
		return zombie && boxed == 4
	})
	return s, request
}

// natively surveys the node's own /proc as who.
func (s *site) natively(n *cluster.Node, who vfs.Identity, r survey.Request) []survey.Entry {
	s.t.Helper()
	r.Root = "/proc"
	argv := append(as(who), surveyCommand(control.InitPath, r)...)
	return s.entries(n.Command(s.t.Context(), argv...))
}

// as is a command line that becomes who, without capabilities unless it is root.
func as(who vfs.Identity) []string {
	argv := []string{"setpriv", fmt.Sprintf("--reuid=%d", who.UID), fmt.Sprintf("--regid=%d", who.GID)}
	if len(who.Groups) == 0 {
		return append(argv, "--clear-groups")
	}
	return append(argv, "--groups="+strings.Trim(strings.ReplaceAll(fmt.Sprint(who.Groups), " ", ","), "[]"))
}

func surveyCommand(program string, r survey.Request) []string {
	request, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return []string{"env", control.RoleVariable + "=" + control.RoleSurvey, control.SurveyVariable + "=" + string(request), program}
}

func (s *site) entries(cmd *exec.Cmd) (all []survey.Entry) {
	s.t.Helper()
	out, err := output(cmd)
	if err == nil {
		err = json.Unmarshal([]byte(out), &all)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// over9P surveys the node through the front end's socket, as root who speaks for
// who.
func (s *site) over9P(n *cluster.Node, who vfs.Identity, r survey.Request) []survey.Entry {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	client := s.client(ctx)
	root, err := client.Attach(ctx, who, "")
	if err != nil {
		s.t.Fatal(err)
	}
	node, _, err := vfs.WalkPath(ctx, root.(vfs.Dir), "nodes", n.Name)
	if err != nil {
		s.t.Fatal(err)
	}
	return survey.TakeTree(ctx, node.(vfs.Dir), r)
}

// overFUSE surveys the node on a mount that is shared, as who.
func (s *site) overFUSE(dir string, n *cluster.Node, who vfs.Identity, r survey.Request) []survey.Entry {
	s.t.Helper()
	r.Root = filepath.Join(dir, "nodes", n.Name)
	argv := append(as(who), surveyCommand(filepath.Join(s.cluster.Dir, "nodeinit"), r)...)
	return s.entries(exec.CommandContext(s.t.Context(), argv[0], argv[1:]...))
}

// overExec surveys the node by a command of aggrfs exec, as who.
func (s *site) overExec(n *cluster.Node, who vfs.Identity, r survey.Request) (all []survey.Entry) {
	s.t.Helper()
	r.Root = "/proc/nodes/" + n.Name
	out, err := s.asUser(who, append([]string{"exec", "--server", s.server, "--"}, surveyCommand(filepath.Join(s.cluster.Dir, "nodeinit"), r)...)...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &all)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// Nobody reads through the tree what the kernel would not show them on the node,
// and nobody is refused what it would: every file of every process and of the
// root, as several users, on a /proc of each kind. Over 9P it is all; over FUSE,
// where each name costs a request, the processes and the root's own files, for the
// first user only.
func TestRightsAreTheKernels(t *testing.T) {
	for options, readers := range whoSurveys {
		t.Run(options, func(t *testing.T) {
			s, r := rightsSite(t, options)
			n, dir := s.cluster.Nodes[0], s.mountShared()
			for i, who := range readers {
				if options != "hidepid=0" || i > 1 {
					r.Skip = append(slices.Clone(unexported), "sys") // has been seen enough of
				}
				less := r
				less.Skip = append(slices.Clone(unexported), "sys", "net", "task", "map_files")
				s.compare(n, who, r, "9P", func() []survey.Entry { return s.over9P(n, who, r) })
				if who.Equal(alice) {
					s.compare(n, who, less, "FUSE", func() []survey.Entry { return s.overFUSE(dir, n, who, less) })
					if options == "hidepid=0" {
						s.compare(n, who, less, "exec", func() []survey.Entry { return s.overExec(n, who, less) })
					}
				}
			}
		})
	}
}

// compare fails the test for all that differs between a survey of the tree and the
// native ones around it.
func (s *site) compare(n *cluster.Node, who vfs.Identity, r survey.Request, way string, ours func() []survey.Entry) {
	s.t.Helper()
	var lines []string
	for begun, try := time.Now(), 1; ; try++ {
		before := s.natively(n, who, r)
		got := ours()
		after := s.natively(n, who, r)
		if len(before) < 100 {
			s.t.Fatalf("only %d objects on the node", len(before))
		}
		found := survey.Compare(before, after, got)
		s.t.Logf("%v over %s: %d objects, %d differ", who, way, len(before), len(found))
		lines = slices.DeleteFunc(found, func(line string) bool { return try > 1 && !isLeak(line) && !slices.Contains(lines, line) })
		// What is shown that must not be is so at once. What is refused, or differs, may
		// have moved meanwhile, or have taken the kernel too long on a busy machine: it
		// counts if it is the same in each of several surveys, over some time.
		if len(lines) == 0 || slices.ContainsFunc(lines, isLeak) || try >= 4 && time.Since(begun) > wait.Patience {
			break
		}
	}
	if len(lines) > 0 {
		s.t.Errorf("%s:\n%s", way, strings.Join(lines[:min(len(lines), 40)], "\n"))
	}
}

// isLeak reports whether a line of survey.Compare is of something that is shown to who
// must not see it.
func isLeak(line string) bool {
	return strings.HasPrefix(line, "LEAK ") || strings.HasPrefix(line, "MASK ")
}
