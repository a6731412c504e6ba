package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// impatient is a configuration whose nodes are given up soon.
const impatient = "timeouts: {read: 1s, connect: 1s}\ncache: 1s\n"

// asks runs aggrfs, which asks the site's front end, to its end.
func (s *site) asks(sub string, args ...string) ending {
	s.t.Helper()
	return ends(s.t, append([]string{sub, "--server", s.server}, args...)...)
}

// A node that does not answer is named beside the rows, in the JSON and by the exit
// status, out of the same sweep; and no row is no "no".
func TestPartialAnswers(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, impatient)
	for _, line := range [][]string{{"ps", "--strict"}, {"nodes", "--strict"}, {"ps", "--strict", "-u", "1002"}, {"exec", "--strict", "--", "ps", "-e"}} {
		if e := s.asks(line[0], line[1:]...); e.status != 0 || e.stderr != "" {
			t.Errorf("%v while all is well: %+v", line, e)
		}
	}
	for status, line := range map[int][]string{1: {"ps", "--strict", "-u", "4242"}, 2: {"ps", "--nodes", "n9"}} {
		if e := s.asks(line[0], line[1:]...); e.status != status {
			t.Errorf("%v while all is well: %+v", line, e)
		}
	}
	if e := s.asks("where", "n1:999999"); e.status != 1 || !strings.Contains(e.stderr, "no process n1:999999") {
		t.Errorf("where of a process that is not there: %+v", e)
	}
	if err := s.cluster.Nodes[1].Pause(); err != nil {
		t.Fatal(err)
	}
	const missing = "no answer from 1 of 3 nodes, whose processes are not shown: n2 (see aggrfs nodes)"
	// Meanwhile each answer has its rows, or says that they are old, or that they are not there.
	s.eventually("its rows are missing", func() bool {
		e := s.asks("ps", "--nodes", "n[1-2]", "--nodes", "head", "-o", "node,pid")
		if !strings.Contains(e.out, "\nn2 ") != strings.Contains(e.stderr, missing) {
			t.Fatalf("%+v", e)
		}
		return strings.Contains(e.stderr, missing)
	})
	e := s.asks("ps", "--json", "-o", "node,pid")
	var answer struct {
		Version int
		At      time.Time
		Missing []struct{ Node, Reason string }
		Rows    []struct{ Node string }
	}
	if err := json.Unmarshal([]byte(e.out), &answer); err != nil || e.status != 0 || answer.Version != 1 || time.Since(answer.At) > time.Minute ||
		len(answer.Missing) != 1 || answer.Missing[0].Node != "n2" || answer.Missing[0].Reason == "" || len(answer.Rows) < 10 {
		t.Errorf("ps --json: %v: %+v", err, e)
	}
	for _, tc := range []struct {
		status int
		says   string
		line   []string
	}{
		{0, missing, []string{"ps", "-u", "1002"}},
		{3, missing, []string{"ps", "--strict", "-u", "1002"}},
		{3, "not known whether there is such a process: no answer from n2", []string{"ps", "-u", "4242"}},
		{3, "not known", []string{"ps", "-p", "n2:1"}},
		{3, "not known", []string{"ps", "--nodes", "n2"}},
		{1, "no such process", []string{"ps", "-p", "n1:999999"}},
		{3, "not known where n2:1 is", []string{"where", "n2:1"}},
		{3, "not known where 20000001 is", []string{"where", "20000001"}},
		{3, "--strict", []string{"nodes", "--strict"}},
		{0, missing, []string{"exec", "--", "true"}},
		{120, missing, []string{"exec", "--strict", "--", "true"}},
		{120, missing, []string{"exec", "--strict", "--", "pgrep", "nosuch"}},
		{0, "", []string{"ps", "--strict", "-x", "n2"}},
		{0, "", []string{"exec", "--strict", "-x", "n2", "--", "ps", "-e"}},
		{3, "--strict", []string{"mount", "--strict", t.TempDir()}},
	} {
		e := s.asks(tc.line[0], tc.line[1:]...)
		if e.status != tc.status || !strings.Contains(e.stderr, tc.says) || tc.says == "" && e.stderr != "" {
			t.Errorf("%v: %+v", tc.line, e)
		}
	}
	// A mount says it as well.
	dir := t.TempDir()
	mount := exec.Command(filepath.Join(bin, "aggrfs"), "mount", "--server", s.server, dir)
	var told log
	mount.Stderr = &told
	if err := mount.Start(); err != nil {
		t.Fatal(err)
	}
	s.eventually("it is mounted", func() bool { _, err := os.Stat(filepath.Join(dir, "cluster/nodes")); return err == nil })
	mount.Process.Signal(syscall.SIGTERM)
	if err := mount.Wait(); err != nil || !strings.Contains(told.String(), missing) {
		t.Errorf("mount: %v: %s", err, &told)
	}
	if err := s.cluster.Nodes[1].Resume(); err != nil {
		t.Fatal(err)
	}
}

// while runs a shell script by exec, which takes the steps in turn, one at each "wait" of
// the script.
func (s *site) while(flags []string, script string, steps ...func()) ending {
	s.t.Helper()
	script = strings.ReplaceAll(script, "wait;", "echo >&3; read go;")
	argv := append(append([]string{"exec", "--server", s.server}, flags...), "--", "sh", "-c", script)
	cmd := exec.Command(filepath.Join(bin, "aggrfs"), argv...)
	begun, theirs, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer begun.Close()
	cmd.ExtraFiles = []*os.File{theirs}
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	theirs.Close()
	begun.SetReadDeadline(time.Now().Add(time.Minute))
	for _, step := range steps {
		if _, err = io.ReadFull(begun, make([]byte, 1)); err != nil {
			break
		}
		step()
		io.WriteString(in, "go\n")
	}
	in.Close()
	cmd.Wait() // its status is part of what is returned
	if err != nil {
		s.t.Fatalf("it does not come to a step: %v: %s", err, &stderr)
	}
	return ending{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// exec says after its command what its tree lacked meanwhile, which the command cannot.
func TestExecMeanwhile(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, impatient)
	n := s.cluster.Nodes[1]
	for _, flags := range [][]string{nil, {"--strict"}, {"--strict", "--prefetched"}} {
		if e := s.while(flags, "wait; pgrep -f 'sh -c sleep 100000' >/dev/null; exit 7", func() {}); e.status != 7 || e.stderr != "" {
			t.Errorf("%v, while all is well: %+v", flags, e)
		}
	}
	stop := func() {
		if err := n.Pause(); err != nil {
			t.Error(err)
		}
		s.eventually("its rows are missing", func() bool {
			return strings.Contains(s.asks("ps", "-o", "node").stderr, "no answer from")
		})
	}
	goOn := func() {
		t.Helper()
		if err := n.Resume(); err != nil {
			t.Fatal(err)
		}
		s.eventually("it is back", func() bool { return s.asks("ps", "--strict").status == 0 })
	}
	for status, flags := range map[int][]string{7: nil, 120: {"--strict"}} {
		e := s.while(flags, "wait; pgrep solver; exit 7", stop)
		if e.status != status || strings.Count(e.stderr, "\n") != 1 || !strings.Contains(e.stderr, "while sh ran the processes of n2 were missing or old for a time") {
			t.Errorf("a node that stops: %+v", e)
		}
		goOn()
	}
	// It is told also where it is well again when the command ends.
	e := s.while([]string{"--strict"}, "wait; exit 7", func() { stop(); goOn() })
	if e.status != 120 || !strings.Contains(e.stderr, "n2 were missing") {
		t.Errorf("a node that was away: %+v", e)
	}
	// The server goes, and comes back.
	for script, steps := range map[string][]func(){
		"wait; pgrep solver; exit 7":                     {s.stop},
		"wait; pgrep solver; wait; exit 7":               {s.stop, s.serve},
		"wait; cat /proc/10000001/environ; wait; exit 7": {s.stop, s.serve},
	} {
		if e := s.while([]string{"--strict"}, script, steps...); e.status != 120 || strings.Count(e.stderr, "aggrfs: while sh ran the") != 1 {
			t.Errorf("a server that goes, %s: %+v", script, e)
		}
		if len(steps) == 1 {
			s.serve()
		}
	}
}

// Who sees no nodes is told so, not that there is nothing.
func TestNoNodes(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: \"1001\", nodes: n1}]\n")
	reachable(t, strings.TrimPrefix(s.server, "unix:"))
	reachable(t, filepath.Join(bin, "aggrfs"))
	bob := func(args ...string) ending {
		argv := append([]string{"--reuid", "1002", "--regid", "1002", "--clear-groups", filepath.Join(bin, "aggrfs"), args[0], "--server", s.server}, args[1:]...)
		return end(t, exec.Command("setpriv", argv...))
	}
	for _, line := range [][]string{{"ps"}, {"ps", "-u", "1002"}} {
		if e := bob(line...); e.status != 3 || !strings.Contains(e.stderr, "you see no nodes") || !strings.Contains(e.stderr, "aggrfs whoami") {
			t.Errorf("%v: %+v", line, e)
		}
	}
	if e := bob("ps", "--json"); e.status != 3 || !strings.Contains(e.out, `"no_nodes":true`) {
		t.Errorf("%+v", e)
	}
	for _, line := range [][]string{{"ps", "--strict"}, {"nodes", "--strict"}} {
		if e := bob(line...); e.status != 3 {
			t.Errorf("%v: %+v", line, e)
		}
	}
	for status, line := range map[int][]string{0: {"exec", "--as", "1002", "--", "true"}, 120: {"exec", "--strict", "--as", "1002", "--", "true"}} {
		if e := s.asks(line[0], line[1:]...); e.status != status || !strings.Contains(e.stderr, "you see no nodes") {
			t.Errorf("%v: %+v", line, e)
		}
	}
	if e := bob("ps", "--nodes", "n1"); e.status != 2 || !strings.Contains(e.stderr, "n1 is not in the cluster, or not in your view") {
		t.Errorf("%+v", e)
	}
}

// The script of docs/commands.md for the epilog of a job is right about processes that are
// left, and about what it cannot know.
func TestEpilog(t *testing.T) {
	text, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, found := strings.Cut(string(text), "```sh\n#!/bin/sh\n")
	script, _, ended := strings.Cut(script, "\n```\n")
	if !found || !ended {
		t.Fatal("there is no script in docs/commands.md")
	}
	s := newSite(t, cluster.Options{Nodes: 2}, impatient)
	s.isDefault()
	epilog := func(user, nodes string) ending {
		cmd := exec.Command("sh", "-c", script)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "SLURM_JOB_USER="+user, "SLURM_JOB_NODELIST="+nodes)
		return end(t, cmd)
	}
	for name, tc := range map[string]struct {
		user, nodes string
		status      int
	}{
		"processes left":          {"1002", "n[1-2]", 1},
		"none":                    {"4242", "n[1-2]", 0},
		"a user that is not set":  {"", "n[1-2]", 2},
		"nodes that are not set":  {"4242", "", 2},
		"a node that is not ours": {"4242", "n[1-3]", 2},
		"a user that is not":      {"nobody-has-this-name", "n1", 2},
	} {
		e := epilog(tc.user, tc.nodes)
		if e.status != tc.status || (tc.status == 1) != strings.Contains(e.out, "solver --user bob --node n2") || tc.status == 2 && !strings.Contains(e.stderr, "is not known") {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if err := s.cluster.Nodes[1].Pause(); err != nil {
		t.Fatal(err)
	}
	s.eventually("the node is missing", func() bool { return s.asks("nodes", "--strict").status == 3 })
	if e := epilog("4242", "n[1-2]"); e.status != 2 {
		t.Errorf("a silent node: %+v", e)
	}
	if e := epilog("4242", "n1"); e.status != 0 {
		t.Errorf("another node is silent: %+v", e)
	}
	if err := s.cluster.Nodes[1].Resume(); err != nil {
		t.Fatal(err)
	}
	s.stop()
	for _, user := range []string{"1002", "4242"} {
		if e := epilog(user, "n[1-2]"); e.status != 2 || e.out != "" {
			t.Errorf("no server: %+v", e)
		}
	}
	s.serve()
}
