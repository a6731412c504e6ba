package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/fakefront"
)

// The processes of a user are found by the uid, whatever the server calls the user.
func TestPSOfUsers(t *testing.T) {
	fakeFront(t, map[string]string{
		"nodes": fakefront.TwoNodes,
		"ps":    fakefront.PSHead, // is not what is read
		"ps-of/0": fakefront.PSHead + fakefront.PSRow("n1", "1", "10000001", `CORP\\toor`) + fakefront.PSRow("n2", "100", "20000100", "toor") +
			"# missing n3 silent\n# stale n2 1.5s\n",
		"ps-of/1":    fakefront.PSHead + fakefront.PSRow("n1", "70", "10000070", `da\040emon`) + fakefront.PSRow("n2", "100", "20000100", "1") + "# missing n3 silent\n",
		"ps-of/4242": fakefront.PSHead,
	})
	for _, tc := range []struct {
		status int
		out    string
		says   string // on standard error; "" is nothing
		line   string
	}{
		{0, "10000070 da\\040emon\n20000100 1\n", "n3", "-u 1"},
		{0, "10000070 da\\040emon\n20000100 1\n", "n3", "-u daemon,1"},
		// By node and pid, what is in both once.
		{0, "10000001 CORP\\\\toor\n10000070 da\\040emon\n20000100 1\n", "n3", "-u 1,root"},
		{0, "10000070 da\\040emon\n", "n3", "-u root,daemon -p 10000070"},
		{3, "10000070 da\\040emon\n20000100 1\n", "--strict", "--strict -u 1"},
		{1, "", "no such process", "-u 4242"},
		{1, "", "no such process", "--strict -u 4242"},
		{3, "", "your view has no processes of 4243, so it is not known whether there are any (see aggrfs whoami)", "-u 4243"},
		{3, "", "your view has no processes of bin", "--strict -u root,bin"},
		{2, "", "nobody-has-this-name", "-u nobody-has-this-name"},
	} {
		r := runLine(t, append([]string{"ps", "--no-headers", "-o", "pid,user"}, strings.Fields(tc.line)...)...)
		if r.status != tc.status || strings.Join(strings.Fields(r.out), " ") != strings.Join(strings.Fields(tc.out), " ") || !strings.Contains(r.stderr, tc.says) {
			t.Errorf("ps %s: %+v", tc.line, r)
		}
		if tc.says == "n3" && strings.Count(r.stderr, "n3") != 1 {
			t.Errorf("ps %s says twice what is in two tables: %s", tc.line, r.stderr)
		}
	}
}

// An older server has no cluster/ps-of: there the column USER says whose a process is.
func TestPSOfUsersOlder(t *testing.T) {
	tree := fakeFront(t, map[string]string{
		"nodes": fakefront.TwoNodes,
		"ps":    fakefront.PSHead + fakefront.PSRow("n1", "1", "10000001", "root") + fakefront.PSRow("n1", "70", "10000070", "1") + fakefront.PSRow("n2", "70", "20000070", "daemon"),
	})
	tree.Change("cluster/hints", vfstest.File{Data: []byte("read 2s\n")})
	for line, want := range map[string]ran{
		"-u 1":      {0, "10000070\n20000070\n", ""},
		"-u daemon": {0, "10000070\n20000070\n", ""},
		"-u bin":    {1, "", "aggrfs: no such process\n"},
	} {
		if r := runLine(t, append([]string{"ps", "--no-headers", "-o", "pid"}, strings.Fields(line)...)...); r != want {
			t.Errorf("ps %s: %+v", line, r)
		}
	}
}

// There a user's processes are not known, rather than those of another user.
func TestPSInUserNamespace(t *testing.T) {
	fakeFront(t, map[string]string{"nodes": fakefront.TwoNodes, "ps-of/0": fakefront.PSHead, "ps-of/4242": fakefront.PSHead})
	path := filepath.Join(t.TempDir(), "uid_map")
	if err := os.WriteFile(path, []byte("0 100000 1000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]struct {
		status int
		says   string
	}{
		"root": {exit.Unknown, "root is uid 0 in this user namespace and another outside of it"},
		"0":    {exit.Unknown, "another outside of it"},
		"4242": {exit.Failed, "no such process"}, // has no number in it, and so the one outside is meant
	} {
		var out, stderr strings.Builder
		a := newApp()
		a.env.Stderr, a.env.UIDMap = &stderr, path
		if status := a.execute(t.Context(), []string{"ps", "--no-headers", "-u", user}, &out); status != want.status || out.String() != "" || !strings.Contains(stderr.String(), want.says) {
			t.Errorf("-u %s: %d, %s%s", user, status, out.String(), stderr.String())
		}
	}
}

// What is no column and no option says so, and what there is.
func TestPSRefused(t *testing.T) {
	for _, args := range []string{"-o nodes", "-o pid,,args", "--sort cpu", "axu -z", "xyz", "aux more", "-p", "-p abc", "-p 0", "-p n1:x", "-u nobody-has-this-name", "-p 2147483647"} {
		if out, err := output(t, append([]string{"ps"}, strings.Fields(args)...)...); err == nil {
			t.Errorf("ps %s: %s", args, out)
		}
	}
}
