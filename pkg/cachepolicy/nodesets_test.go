package cachepolicy_test

import (
	"fmt"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// TestNodesets has nodesets and patterns that are wrong, or without the quotes that
// YAML wants, beside another mistake.
func TestNodesets(t *testing.T) {
	_, err := cachepolicy.Parse("policy.yaml", []byte(`version: 1
rules:
  - {match: meminfo, cache: 2s, nodes: n[001-512]}
  - {match: <pid>/{stat,status}, cache: soon}
  - {match: loadavg, cache: 2s, nodes: " "}
  - {match: uptime, cache: 2s, nodes: "n[1-003]"}
  - {match: **, cache: never}
`))
	want := `policy.yaml:3:40: quote it: nodes: "n[001-512]" (to YAML its brackets are a list or keys and values)
    - {match: meminfo, cache: 2s, nodes: n[001-512]}
                                         ^
policy.yaml:4:13: quote it: match: "<pid>/{stat,status}" (to YAML its brackets are a list or keys and values)
    - {match: <pid>/{stat,status}, cache: soon}
              ^
policy.yaml:4:41: "soon" is neither never, nor lifetime, nor a time span such as 2s
    - {match: <pid>/{stat,status}, cache: soon}
                                          ^
policy.yaml:5:40: the nodeset " " is empty; leave nodes away for all of them
    - {match: loadavg, cache: 2s, nodes: " "}
                                         ^
policy.yaml:6:42: bad nodeset "n[1-003]": "1-003" is 1 to 3 for Slurm, can be meant as 001 to 003, and is refused by ClusterShell; write 1-3 or 001-003
    - {match: uptime, cache: 2s, nodes: "n[1-003]"}
                                           ^
policy.yaml:7:13: quote it: match: "**" (YAML has another use for a '*' in front)
    - {match: **, cache: never}
              ^`
	if fmt.Sprint(err) != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestUnknownNodes(t *testing.T) {
	p, err := cachepolicy.Parse("policy.yaml", []byte(`version: 1
rules:
  - {match: meminfo, cache: 2s, nodes: "n[001-129]"}
  - {match: loadavg, cache: 2s, nodes: "n[1-2]"}
  - {match: loadavg, cache: 2s, nodes: "n[001-128]"}
`))
	if err != nil {
		t.Fatal(err)
	}
	known, err := nodeset.Parse("head,n[001-128]")
	if err != nil {
		t.Fatal(err)
	}
	want := "[policy.yaml:3: the rule names nodes that are not in the cluster: n129" +
		" policy.yaml:4: the rule names nodes that are not in the cluster: n[1-2] (did you mean n001?)]"
	if got := fmt.Sprint(p.UnknownNodes(known)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := cachepolicy.Default().UnknownNodes(nodeset.Of("n1")); len(got) > 0 {
		t.Errorf("the default policy names unknown nodes: %s", got)
	}
}
