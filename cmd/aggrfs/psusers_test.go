package main

import (
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// The processes of a user are found by the uid, whatever the server calls the user.
func TestPSOfUsers(t *testing.T) {
	fakeFront(t, map[string]string{
		"nodes": twoNodes,
		"ps":    psHead, // is not what is read
		"ps-of/0": psHead + psRow("n1", "1", "10000001", `CORP\\toor`) + psRow("n2", "100", "20000100", "toor") +
			"# missing n3 silent\n# stale n2 1.5s\n",
		"ps-of/1":    psHead + psRow("n1", "70", "10000070", `da\040emon`) + psRow("n2", "100", "20000100", "1") + "# missing n3 silent\n",
		"ps-of/4242": psHead,
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
		"nodes": twoNodes,
		"ps":    psHead + psRow("n1", "1", "10000001", "root") + psRow("n1", "70", "10000070", "1") + psRow("n2", "70", "20000070", "daemon"),
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
	if got := ownerCell(`CORP\ann lee`); got != `CORP\\ann\040lee` {
		t.Errorf("%s", got)
	}
}
