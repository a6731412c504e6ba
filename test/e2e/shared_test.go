package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/cluster/control"
	"github.com/aggrfs/aggrfs/test/cluster/survey"
)

// looks is how many random looks each of two users takes at one mount.
const looks = 2500

// mountShared mounts the tree for all users until the test ends.
func (s *site) mountShared() string {
	s.t.Helper()
	dir := filepath.Join(s.cluster.Dir, "shared") // which everybody can reach
	if err := os.Mkdir(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	return s.mountAt(dir, "--allow-other")
}

// plans are what alice, who has n1, and bob, who has n1 and n2, look at: each
// their own, the other's as if it were nowhere.
func (s *site) plans() map[uint32]survey.Roam {
	s.t.Helper()
	own := map[uint32][]string{}
	pids := map[uint32][]string{}
	for i, n := range s.cluster.Nodes {
		for line := range strings.Lines(s.onNode(n, "ps", "-eo", "pid=,uid=")) {
			f := strings.Fields(line)
			uid, _ := strconv.ParseUint(f[1], 10, 32)
			gpid, _ := strconv.Atoi(f[0])
			gpid += (i + 1) * 10_000_000
			dirs := []string{strconv.Itoa(gpid), n.Name + ":" + f[0], "nodes/" + n.Name + "/" + f[0], "sets/" + n.Name + "/" + strconv.Itoa(gpid)}
			own[uint32(uid)] = append(own[uint32(uid)], dirs...)
			pids[uint32(uid)] = append(pids[uint32(uid)], "/"+strconv.Itoa(gpid)+"/")
		}
	}
	nowhere := []string{"19999998", "10999999", "n1:4000000", "nodes/n1/4000000", "users/nosuchuser", "nodes/n7", "sets/n9", "30000001", "2130000001"}
	places := []string{"", "nodes", "sets", "users", "cluster", "cluster/nodes", "cluster/whoami", "nodes/n1", "loadavg", "stat", "meminfo", "nodes/n1/stat"}
	a, b := cluster.Alice, cluster.Bob
	onN2 := func(dirs []string) (in, out []string) {
		for _, d := range dirs {
			if strings.HasPrefix(d, "2") || strings.Contains(d, "n2") {
				in = append(in, d)
			} else {
				out = append(out, d)
			}
		}
		return in, out
	}
	hidden, mine := onN2(own[a])
	if len(hidden) == 0 || len(mine) == 0 || len(own[b]) == 0 || len(own[0]) == 0 {
		s.t.Fatalf("the nodes have %v", own)
	}
	user := func(uid uint32) string { return "users/" + strconv.Itoa(int(uid)) }
	return map[uint32]survey.Roam{
		a: {
			Looks: looks, Seed: 1, Own: mine, Places: append(places, user(a)), Nowhere: append(nowhere, "nodes/n2", "sets/n2", "sets/n[1-2]", user(b)),
			Others:  append(append(hidden, own[b]...), own[0]...),
			Secrets: append(pids[b], "solver", "--user\x00bob", "/n2/", "\nn2 ", "/"+strconv.Itoa(int(b))+"/"),
		},
		b: {
			Looks: looks, Seed: 2, Own: own[b], Places: append(places, user(b), "nodes/n2", "sets/n[1-2]"), Nowhere: append(nowhere, user(a)),
			Others:  append(own[a], own[0]...),
			Secrets: append(pids[a], "job of alice", "/"+strconv.Itoa(int(a))+"/"),
		},
	}
}

// Two users, and root beside them, look around in one mount at once, and over 9P
// on one connection: neither meets a name, a byte, a count or an error of the
// other's.
func TestTwoUsersOnOneMount(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, `cache: 100ms
views:
  - {users: "1001", nodes: n1}
  - {users: "1002", nodes: "n[1-2]"}
`)
	plans := s.plans()
	dir := s.mountShared()
	program := filepath.Join(s.cluster.Dir, "nodeinit")
	var all sync.WaitGroup
	report := func(way string, uid uint32, problems []string) {
		if len(problems) > 0 {
			t.Errorf("%s, user %d:\n%s", way, uid, strings.Join(problems, "\n"))
		}
	}
	for uid, plan := range plans {
		plan.Root = dir
		all.Go(func() {
			request, _ := json.Marshal(plan)
			cmd := exec.CommandContext(t.Context(), program)
			cmd.Env = []string{control.RoleVariable + "=" + control.RoleRoam, control.SurveyVariable + "=" + string(request)}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
			out, err := cmd.Output()
			var problems []string
			if err == nil {
				err = json.Unmarshal(out, &problems)
			}
			if err != nil {
				problems = append(problems, err.Error())
			}
			report("FUSE", uid, problems)
		})
	}
	stop := make(chan struct{})
	stirred := make(chan struct{})
	go func() { // root sees everything, and has the kernel's caches filled with it
		defer close(stirred)
		for {
			select {
			case <-stop:
				return
			default:
				exec.Command("find", dir, "-maxdepth", "2", "-name", "status").Run()
			}
		}
	}()
	all.Wait()
	close(stop)
	<-stirred

	client := s.client(t.Context())
	for uid, plan := range plans {
		all.Go(func() {
			root, err := client.Attach(t.Context(), vfs.Identity{UID: uid, GID: uid}, "")
			if err != nil {
				report("9P", uid, []string{err.Error()})
				return
			}
			report("9P", uid, plan.RunTree(t.Context(), root.(vfs.Dir)))
		})
	}
	all.Wait()
}

// client is a 9P client of the front end, as root, until the test ends.
func (s *site) client(ctx context.Context) *ninep.Client {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	addr, err := ninep.ParseAddr(s.server)
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := ninep.Dial(ctx, addr)
	if err != nil {
		s.t.Fatal(err)
	}
	client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { client.Close() })
	return client
}
