package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
)

// statusOf are the rows of what aggrfs status printed, by their parts; of several rows of a part the states and details are together.
func statusOf(t *testing.T, text string) map[string]report.Part {
	t.Helper()
	rows, err := report.ParseStatus([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	all := make(map[string]report.Part)
	for _, p := range rows {
		if before, twice := all[p.Name]; twice {
			p.State, p.Detail = before.State+"\n"+p.State, before.Detail+"\n"+p.Detail
		}
		all[p.Name] = p
	}
	return all
}

// aggrfs status says what is not well, what to do, and by its exit status whether there is anything;
// to a user, of what is theirs alone.
func TestStatus(t *testing.T) {
	e := newElsewhere(t, 3, "timeouts: {connect: 1s, read: 1s, sweep: 50s}\nviews: [{users: \"1001\", nodes: n1}]\n")
	alice := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
	asAlice := func() string {
		t.Helper()
		out, err := e.asUser(alice, "status", "--server", e.server)
		if err != nil {
			t.Errorf("status of a user: %v\n%s", err, out)
		}
		return out
	}
	until := func(what string, status int, holds func(map[string]report.Part) bool) {
		t.Helper()
		e.eventuallyNil(what, func() error {
			if got := e.asks("status"); got.status != status || !holds(statusOf(t, got.out)) {
				return fmt.Errorf("%+v", got)
			}
			return nil
		})
	}
	until("all is well", 0, func(rows map[string]report.Part) bool {
		for _, name := range []string{"server", "nodes", "versions", "data", "sweeps", "cache", "configuration", "policy", "gpids", "restart", "mounts", "certificate", "ca", "limits"} {
			if rows[name].State != report.OK || rows[name].Detail == "" {
				t.Errorf("%s: %+v", name, rows[name])
			}
		}
		return rows["nodes"].Detail == "4 up" && rows["mounts"].Detail == "0" && rows["configuration"].Detail == e.config && !rows["server"].Since.IsZero()
	})
	e.mount()
	until("a mount is told of", 0, func(rows map[string]report.Part) bool { return rows["mounts"].Detail == "1: root (0) 1" })
	// A user: their mount, their nodes, and nothing about the server's inside.
	if out, err := e.asUser(alice, "exec", "--server", e.server, "--", "cat", "/proc/cluster/status"); err != nil || statusOf(t, out)["mounts"].Detail != "1 of yours" {
		t.Errorf("%v\n%s", err, out)
	}

	// Two nodes in the same trouble share a row, and the JSON names each.
	for _, n := range e.cluster.Nodes[1:] {
		if err := n.KillLeaf(); err != nil {
			t.Fatal(err)
		}
	}
	until("nodes are down", 1, func(rows map[string]report.Part) bool {
		return rows["nodes"].State == "missing" && rows["node"].State == "down" && strings.HasPrefix(rows["node"].Detail, "n[2-3]: cannot be connected to (")
	})
	got := e.asks("status", "--json")
	var answer struct {
		Missing, Stale []report.Remark
		Rows           []map[string]any
	}
	if err := json.Unmarshal([]byte(got.out), &answer); err != nil || got.status != 1 || len(answer.Missing)+len(answer.Stale) != 2 {
		t.Errorf("%v: %+v", err, got)
	}
	if len(answer.Rows) == 0 || answer.Rows[0]["part"] != "server" || answer.Rows[0]["state"] != "ok" {
		t.Errorf("%v", answer.Rows)
	}
	text := asAlice()
	rows := statusOf(t, text)
	for _, hidden := range []string{"sweeps", "cache", "configuration", "policy", "gpids", "restart", "certificate", "ca", "limits", "node"} {
		if _, there := rows[hidden]; there {
			t.Errorf("a user is shown %s", hidden)
		}
	}
	if rows["nodes"].Detail != "1 up" || strings.Contains(text, "n2") || strings.Contains(text, e.dir) {
		t.Errorf("a user sees of others:\n%s", text)
	}
	for _, n := range e.cluster.Nodes[1:] {
		if err := n.StartLeaf(); err != nil {
			t.Fatal(err)
		}
	}
	until("they are back", 0, func(rows map[string]report.Part) bool { return rows["nodes"].Detail == "4 up" })

	// A change that waits for a restart, and waits no longer when it is taken back.
	was, err := os.ReadFile(e.config)
	if err != nil {
		t.Fatal(err)
	}
	configure := func(text string) {
		t.Helper()
		if err := os.WriteFile(e.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure(strings.Replace(string(was), "connect: 1s", "connect: 3s", 1))
	until("a change waits", 1, func(rows map[string]report.Part) bool {
		return rows["restart"].State == "waiting" && strings.HasPrefix(rows["restart"].Detail, "timeouts: ")
	})
	configure(string(was))
	until("none waits", 0, func(rows map[string]report.Part) bool { return rows["restart"].State == report.OK })
	configure("version: 7\n")
	until("one is refused", 1, func(rows map[string]report.Part) bool { return rows["configuration"].State == "refused" })
	configure(string(was))
	until("it is good again", 0, func(rows map[string]report.Part) bool { return rows["configuration"].State == report.OK })

	// A certificate that ends within 30 days, in the log as well.
	if out, err := output(exec.Command(filepath.Join(bin, "aggrfs"), "certs", "issue", "--dir", e.dir, "--days", "20", "head")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	until("a certificate ends soon", 1, func(rows map[string]report.Part) bool {
		return rows["certificate"].State == "ending" && strings.Contains(rows["certificate"].Detail, "renew it")
	})
	if !strings.Contains(e.log.String(), "the certificate ends soon: renew it") {
		t.Errorf("the log does not say so:\n%s", e.log)
	}
	if err := os.Chmod(e.dir+"/head.key", 0o644); err != nil {
		t.Fatal(err)
	}
	until("a key that others can read", 1, func(rows map[string]report.Part) bool {
		return rows["certificate"].State == "unusable" && strings.Contains(rows["certificate"].Detail, "chmod 600")
	})
	if got := ends(t, "status", "--server", "unix:"+filepath.Join(t.TempDir(), "none")); got.status != 3 || got.out != "" {
		t.Errorf("without a server: %+v", got)
	}
}
