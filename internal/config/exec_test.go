package config_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/config"
)

// The words of an exec: address are split once, and a node's name is part of one of them.
func TestExecAddress(t *testing.T) {
	text := func(nodes, address, more string) string {
		return "version: 1\nnodes:\n- {nodes: \"" + nodes + "\", address: '" + address + "'" + more + "}\n"
	}
	c, err := config.Parse("a.yaml", []byte(text("n[1-2]", "exec:ssh  -o BatchMode=yes -- root@%s procsrv --stdio", ", user: root")))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ssh", "-o", "BatchMode=yes", "--", "root@n2", "procsrv", "--stdio"}
	if n := c.Nodes[1]; !reflect.DeepEqual(n.Command, want) || n.User != "root" || len(c.Nodes) != 2 {
		t.Errorf("%+v", c.Nodes)
	}
	for want, text := range map[string]string{
		"put %s where":                text("n[1-2]", "exec:ssh n1 procsrv", ""),
		"no other %":                  text("n1", "exec:ssh %h %s", ""),
		"there must be a command":     text("n1", "exec: ", ""),
		"is no program":               text("n1", "exec:%s procsrv", ""),
		"its absolute path":           text("n1", "exec:bin/ssh %s procsrv", ""),
		`no shell reads the command`:  text("n1", `exec:ssh %s "procsrv --stdio"`, ""),
		`so that "|" would be`:        text("n1", `exec:ssh %s procsrv | cat`, ""),
		`so that "$" would be`:        text("n1", `exec:ssh $USER@%s procsrv`, ""),
		"cannot be an argument":       text("_n1", "exec:ssh %s procsrv", ""),
		"is for the command":          text("n1", "unix:/run/%s", ", user: root"),
		`"a b" is no user's name`:     text("n1", "exec:ssh %s procsrv", ", user: 'a b'"),
		"and exec: for nodes":         text("n1", "udp:%s", ""),
		`bad address "exec:a": only `: "version: 1\nlisten: ['exec:a']\n",
	} {
		if _, err := config.Parse("a.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}
