package config_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aggrfs/aggrfs/internal/config"
)

// TestUnquoted has nodesets without the quotes that YAML wants, in the configuration
// and in a file of views.d, and other mistakes before and behind them.
func TestUnquoted(t *testing.T) {
	path := writeFiles(t, map[string]string{
		"aggrfs.yaml": `version: 1
cahce: 1s
nodes:
  - {nodes: n[001-128], address: "tls:%s:5640"}
  - {nodes: m[1-2],m[4-, address: "unix:/run/%s"}
  - {nodes: gpu[1-3]!gpu2, address: "unix:/run/%s"}
views:
  - {users: *, nodes: allocated, processes: own}
timeouts: {read: -2s}
`,
		"views.d/10.yaml": "views: [{groups: chem, nodes: [n[1-3], login], dney: x}]\n",
	})
	_, err := config.Load(path)
	const brackets = " (to YAML its brackets are a list or keys and values)"
	want := `aggrfs.yaml:2:1: unknown key "cahce"; did you mean "cache"?
  cahce: 1s
  ^
aggrfs.yaml:4:13: quote it: nodes: "n[001-128]"` + brackets + `
    - {nodes: n[001-128], address: "tls:%s:5640"}
              ^
aggrfs.yaml:4:34: tls: needs a certificate, its key and a CA; write "tls: {cert: FILE, key: FILE, ca: FILE}" at the top
    - {nodes: n[001-128], address: "tls:%s:5640"}
                                   ^
aggrfs.yaml:5:13: quote it: nodes: "m[1-2],m[4-"` + brackets + `
    - {nodes: m[1-2],m[4-, address: "unix:/run/%s"}
              ^
aggrfs.yaml:5:21: bad nodeset "m[1-2],m[4-": "[" without "]"
    - {nodes: m[1-2],m[4-, address: "unix:/run/%s"}
                      ^
aggrfs.yaml:6:13: quote it: nodes: "gpu[1-3]!gpu2"` + brackets + `
    - {nodes: gpu[1-3]!gpu2, address: "unix:/run/%s"}
              ^
aggrfs.yaml:8:13: quote it: users: "*" (YAML has another use for a '*' in front)
    - {users: *, nodes: allocated, processes: own}
              ^
aggrfs.yaml:9:18: the time span "-2s" is negative
  timeouts: {read: -2s}
                   ^
views.d/10.yaml:1:32: quote it: "n[1-3]"` + brackets + `
  views: [{groups: chem, nodes: [n[1-3], login], dney: x}]
                                 ^
views.d/10.yaml:1:48: unknown key "dney"; did you mean "deny"?
  views: [{groups: chem, nodes: [n[1-3], login], dney: x}]
                                                 ^`
	if diff := cmp.Diff(want, strings.ReplaceAll(fmt.Sprint(err), filepath.Dir(path)+"/", "")); diff != "" {
		t.Error(diff)
	}
}

// TestNodesetErrors has what is wrong with a nodeset that YAML can read.
func TestNodesetErrors(t *testing.T) {
	_, err := config.Parse("aggrfs.yaml", []byte(`version: 1
nodes:
  - {nodes: "", address: "unix:/run/%s"}
  - {nodes: "n[01-3]", address: "unix:/run/%s"}
views:
  - {users: bob, nodes: " , "}
  - {users: ann, nodes: [n1, "n1!n1"]}
`))
	want := `aggrfs.yaml:3:13: the nodeset "" is empty; name the nodes of this entry
    - {nodes: "", address: "unix:/run/%s"}
              ^
aggrfs.yaml:4:16: bad nodeset "n[01-3]": "01-3" is 01 to 03 for Slurm, can be meant as 1 to 3, and is refused by ClusterShell; write 01-03 or 1-3
    - {nodes: "n[01-3]", address: "unix:/run/%s"}
                 ^
aggrfs.yaml:6:25: the nodeset " , " is empty; write a nodeset, all, or allocated
    - {users: bob, nodes: " , "}
                          ^
aggrfs.yaml:7:31: bad nodeset "n1!n1": no node is left of it
    - {users: ann, nodes: [n1, "n1!n1"]}
                                ^`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownNodes(t *testing.T) {
	path := writeFiles(t, map[string]string{
		"aggrfs.yaml": `version: 1
head: login
nodes: [{nodes: "n[001-128]\ngpu[1-2], ", address: "tls:%s:5640"}]
tls: {cert: /c, key: /k, ca: /a}
views:
  - {users: bob, nodes: "n[1-3],login"}
  - {users: ann, nodes: "n[126-128],gpu2"}
`,
		"views.d/10.yaml": "views:\n- {groups: chem, nodes: [all, 'n[127-131]', storage]}\n",
	})
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	want := []string{
		dir + "/aggrfs.yaml:6: the view names nodes that are not in the cluster: n[1-3] (did you mean n001?)",
		dir + "/views.d/10.yaml:2: the view names nodes that are not in the cluster: n[129-131],storage",
	}
	if got := c.Warnings(); !slices.Equal(got, want) {
		t.Errorf("%s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
