package daemon

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/app/cluster"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// TestUnknownNodes has views, a policy and allocations that name nodes which the
// cluster has not, and looks for each in the log, once.
func TestUnknownNodes(t *testing.T) {
	dir := t.TempDir()
	policy, conf := dir+"/policy.yaml", dir+"/aggrfs.yaml"
	for file, text := range map[string]string{
		policy: "version: 1\nrules:\n- {match: meminfo, cache: 2s, nodes: \"n[1-3]\"}\n",
		conf: `version: 1
head: login
nodes: [{nodes: "n[1-2]", address: "unix:/run/%s"}]
policy: ` + policy + `
views: [{users: bob, nodes: "n[01-02]"}]
`,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.LoadOwn(conf)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := cluster.Policy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(&text, nil))
	warn(log, cfg, rules)
	authority := access.New(cfg.Access, nil, nil)
	var o strangeNodes
	look := func() { o.look(authority.Allocations(), cfg.Names, log) }
	look()
	for range 2 {
		authority.SetAllocations([]access.Allocation{{User: "a", Nodes: nodeset.Of("n1", "m7", "N2")}, {User: "b", Nodes: nodeset.Of("m7", "login")}})
		look()
		look()
	}
	for _, want := range []string{
		conf + ":5: the view names nodes that are not in the cluster: n[01-02] (did you mean n1?)",
		policy + ":3: the rule names nodes that are not in the cluster: n3",
		`msg="allocations name nodes that are not in the cluster" nodes="N2,m7 (did you mean n2?)"`,
	} {
		if strings.Count(text.String(), want) != 1 {
			t.Errorf("%q is not there once in\n%s", want, text.String())
		}
	}
	if lines := strings.Count(text.String(), "\n"); lines != 3 {
		t.Errorf("%d lines:\n%s", lines, text.String())
	}
}
