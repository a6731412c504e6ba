package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/config/strict"
)

func TestExample(t *testing.T) {
	c, err := config.LoadOwn("../../configs/aggrfs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Nodes) != 134 {
		t.Fatalf("%d nodes", len(c.Nodes))
	}
	if n := c.Nodes[41]; !reflect.DeepEqual(n, config.Node{Name: "n042", Address: "unix:/run/aggrfs-nodes/n042.sock"}) {
		t.Errorf("node 42 is %v", n)
	}
	// What the example writes out is what holds without it.
	want := config.Default()
	want.Head, want.Nodes = c.Head, c.Nodes
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("the example differs from the defaults (-default +example):\n%s", diff)
	}
	if w := c.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %q", w)
	}
}

// TestExampleHasEachKey: those too that are commented out, with values that are right.
func TestExampleHasEachKey(t *testing.T) {
	text, err := os.ReadFile("../../configs/aggrfs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("read.go")
	if err != nil {
		t.Fatal(err)
	}
	// What is known at the top of a file; read.go has it in one table.
	_, table, _ := strings.Cut(string(source), "root.Fields(strict.Fields{\n")
	table, _, _ = strings.Cut(table, "\n\t})\n")
	keys := regexp.MustCompile(`(?m)^\t\t"(\w+)":`).FindAllStringSubmatch(table, -1)
	if len(keys) < 15 {
		t.Fatalf("read.go has %d keys", len(keys))
	}
	for _, key := range keys {
		found := regexp.MustCompile(`(?m)^(# )?` + key[1] + `:.*\n((# )?  .*\n)*`).FindString(string(text))
		switch {
		case found == "":
			t.Errorf("the example lacks %s", key[1])
		case strings.HasPrefix(found, "# "):
			example := "version: 1\n" + regexp.MustCompile(`(?m)^# `).ReplaceAllString(found, "")
			if key[1] == "views" { // a view may be for a certificate, which somebody must be able to show
				example += "listen: [\"tls:0.0.0.0:5641\"]\ntls: {cert: /a, key: /b, ca: /c}\n"
			}
			if _, err := config.Parse("example", []byte(example)); err != nil {
				t.Errorf("%s: %v", key[1], err)
			}
		}
	}
}

func TestParse(t *testing.T) {
	c, err := config.Parse("aggrfs.yaml", []byte(`
version: 1
listen: ["unix:/tmp/a.sock", "tcp::5640", "tcp:[::1]:5641", "tls:0.0.0.0:5642"]
tls: {cert: /etc/a.crt, key: /etc//a.key, ca: "/etc/ca.crt"}
front_ends: [top, "Head of all"]
certificates:
  prometheus: nobody1
  "CN with: colon": 1001
  007: root
state: /tmp//state/gpids.json
head: login
nodes:
  - {nodes: "n10,n[8-9]", address: "tcp:%s.cluster:5640"}
  - {nodes: gpu1, address: "unix:/run/procsrv/gpu1.sock"}
  - {nodes: gpu2, address: "tls:gpu2:5640"}
timeouts: {connect: 500ms, sweep: 3s}
cache: 0
cgroup_node: false
proc: /host/proc
native: /aside//proc
insecure: true
max_processes: 1000
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		MaxProcesses: 1000,

		Listen:       []string{"unix:/tmp/a.sock", "tcp::5640", "tcp:[::1]:5641", "tls:0.0.0.0:5642"},
		TLS:          config.TLS{Cert: "/etc/a.crt", Key: "/etc/a.key", CA: "/etc/ca.crt"},
		FrontEnds:    []string{"top", "Head of all"},
		Certificates: map[string]string{"prometheus": "nobody1", "CN with: colon": "1001", "007": "root"},

		State: "/tmp/state/gpids.json", GPIDs: "fixed",
		Head: "login",
		Nodes: []config.Node{
			{Name: "n10", Address: "tcp:n10.cluster:5640"},
			{Name: "n8", Address: "tcp:n8.cluster:5640"},
			{Name: "n9", Address: "tcp:n9.cluster:5640"},
			{Name: "gpu1", Address: "unix:/run/procsrv/gpu1.sock"},
			{Name: "gpu2", Address: "tls:gpu2:5640"},
		},
		Timeouts: config.Timeouts{Connect: 500 * time.Millisecond, Read: 2 * time.Second, Sweep: 3 * time.Second},
		Cache:    new(time.Duration),
		Proc:     "/host/proc",
		Native:   "/aside/proc",
		Insecure: true,
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if w := c.Warnings(); len(w) != 3 || !strings.Contains(w[2], "3 nodes") {
		t.Errorf("warnings: %q", w)
	}
}

func TestDefault(t *testing.T) {
	c, err := config.Parse("x", []byte("version: 1\nhead: \"\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Default(), c); diff != "" {
		t.Error(diff)
	}
	if host, _ := os.Hostname(); c.Head == "" || !strings.HasPrefix(host, c.Head) && c.Head != "head" {
		t.Errorf("head is %q on %q", c.Head, host)
	}
}

// TestRefused has one mistake a case and where it must be shown.
func TestRefused(t *testing.T) {
	const n2 = `{nodes: "n[1-2]", address: "unix:/run/%s"}`
	for _, tt := range []struct{ text, place, message string }{
		{"head: a\n", "1:1", "version is missing"},
		{"", "1:1", "version is missing"},
		{"version: 2\n", "1:10", "version 2 of the configuration is not known"},
		{"version: x\n", "1:10", `"x" stands where a number should be`},
		{"version: 1\ncahce: 1s\n", "2:1", `unknown key "cahce"; did you mean "cache"?`},
		{"version: 1\nhostname: a\n", "2:1", `unknown key "hostname"; the keys here are admins, allocations, cache, certificates,`},
		{"version: 1\ntimeouts: {conect: 1s}\n", "2:12", `did you mean "connect"?`},
		{"version: 1\ncache: 1s\ncache: 2s\n", "3:1", `"cache" is given twice, first on line 2`},
		{"version: 1\ncache: -1s\n", "2:8", `"-1s" is negative`},
		{"version: 1\ncache: 10\n", "2:8", `"10" has no unit; write 10s for seconds`},
		{"version: 1\ncache: soon\n", "2:8", `"soon" is no time span`},
		{"version: 1\ncache:\n", "2:8", "the value is missing"},
		{"version: 1\ntimeouts: {read: 0s}\n", "2:18", "a time of zero"},
		{"version: 1\ntimeouts: 1s\n", "2:11", `"1s" stands where keys and values (connect, read, sweep) should be`},
		{"version: 1\ncgroup_node: yes\n", "2:14", `"yes" stands where true or false should be`},
		{"version: 1\nproc: proc\n", "2:7", `"proc" is no absolute path`},
		{"version: 1\nstate: \"\"\n", "2:8", `"" is no absolute path`},
		{"version: 1\nhead: n[1-2]\n", "2:7", `cannot be a node's name`},
		{"version: 1\nlisten: []\n", "2:9", "no address to listen on"},
		{"version: 1\nlisten: unix:/a\n", "2:9", "stands where a list"},
		{"version: 1\nlisten: [\"unix:/a\", \"unix:/a\"]\n", "2:21", "listed twice"},
		{"version: 1\nlisten: [\"unix:a\"]\n", "2:10", "the absolute path of a socket"},
		{"version: 1\nlisten: [\"tcp::5640\"]\n", "2:10", `"insecure: true"`},
		{"version: 1\nnodes: {nodes: a, address: \"unix:/a\"}\n", "2:8", "keys and values stand where a list"},
		{"version: 1\nnodes: [{nodes: a}]\n", "2:9", "address is missing"},
		{"version: 1\nnodes: [{nodes: a, address: \"unix:/a\", kind: p9}]\n", "2:46", "no kind of node"},
		{"version: 1\nnodes: [{nodes: a, address: \"unix:/a\", aname: /proc}]\n", "2:47", "kind: 9p2000"},
		{"version: 1\nnodes:\n  - address: \"unix:/a\"\n", "3:5", "nodes is missing"},
		{"version: 1\nnodes: [{nodes: \"n[1-2\", address: \"unix:/%s\"}]\n", "2:19", `bad nodeset "n[1-2": "[" without "]"`},
		{"version: 1\nnodes: [{nodes: n@1, address: \"unix:/%s\"}]\n", "2:18", `a name cannot have a '@'`},
		{"version: 1\nnodes: [{nodes: \"n[1-3],n2\", address: \"unix:/%s\"}]\n", "2:17", "n2 is named twice"},
		{"version: 1\nnodes:\n- " + n2 + "\n- {nodes: n2, address: \"unix:/a\"}\n", "4:11", "n2 is named twice, first on line 3"},
		{"version: 1\nhead: n1\nnodes:\n- " + n2 + "\n", "4:11", "n1 is the head's own name"},
		{"version: 1\nnodes:\n- " + n2 + "\nhead: n1\n", "3:11", "n1 is the head's own name"},
		{"version: 1\nnodes: [{nodes: \"n[1-2]\", address: \"unix:/a\"}]\n", "2:36", "one address for 2 nodes; put %s where"},
		{"version: 1\nnodes: [{nodes: a, address: \"unix:/%d\"}]\n", "2:29", "no other % may be in it"},
		{"version: 1\nnodes: [{nodes: a, address: \"unix:/a\"}, {nodes: b, address: \"unix:/a\"}]\n", "2:61", "which is the address of a"},
		{"version: 1\nnodes: [{nodes: a, address: \"http://a\"}]\n", "2:29", "only addresses with unix:, tls: or tcp: in front"},
		{"version: 1\nnodes: [{nodes: a, address: \"tcp:%s:564\"}]\n", "2:29", "neither encrypted nor authenticated"},
		{"version: 1\nlisten: [\"tls::5640\"]\n", "2:10", "tls: needs a certificate, its key and a CA"},
		{"version: 1\nnodes: [{nodes: a, address: \"tls:%s:564\"}]\n", "2:29", "tls: needs a certificate, its key and a CA"},
		{"version: 1\nnodes: [{nodes: a, address: \"tls::564\"}]\n", "2:29", "the host is missing"},
		{"version: 1\nlisten: [\"tls:x\"]\n", "2:10", "behind tls: there must be HOST:PORT"},
		{"version: 1\ntls: {cert: /a, key: /b}\n", "2:6", "ca missing; a certificate"},
		{"version: 1\ntls: {}\n", "2:6", "cert, key, ca missing"},
		{"version: 1\ntls: {cert: /a, key: b, ca: /c}\n", "2:22", `"b" is no absolute path`},
		{"version: 1\ntls: {cert: /a, key: /b, cacert: /c}\n", "2:26", `unknown key "cacert"`},
		{"version: 1\ntls: /a\n", "2:6", "stands where keys and values (ca, cert, key)"},
		{"version: 1\nfront_ends: head\n", "2:13", "stands where a list"},
		{"version: 1\nfront_ends: [head]\n", "2:13", "nobody can show a certificate here"},
		{"version: 1\nfront_ends: [\"\"]\n", "2:14", "a certificate's name is missing"},
		{"version: 1\nfront_ends: [a, b, a]\n", "2:20", "a is listed twice"},
		{"version: 1\ncertificates: {a: root}\n", "2:15", "nobody can show a certificate here"},
		{"version: 1\ncertificates: [a]\n", "2:15", "stands where keys and values (a certificate's name: user)"},
		{"version: 1\ncertificates:\n  a: root\n  b: c\n  a: daemon\n", "5:3", `"a" is given twice, first on line 3`},
		{"version: 1\ncertificates: {\"\": root}\n", "2:16", "a certificate's name is missing"},
		{"version: 1\ncertificates: {true: root}\n", "2:16", `"true" stands where a text`},
		{"version: 1\ncertificates: {a: [b]}\n", "2:19", "a list stands where a text"},
		{"version: 1\ncertificates: {a: 65534}\n", "2:19", `"65534" is no user's name or number`},
		{"version: 1\ncertificates: {a: 4294967295}\n", "2:19", `is no user's name or number`},
		{"version: 1\ncertificates: {a: \"b:c\"}\n", "2:19", `is no user's name or number`},
		{"version: 1\ncertificates: {a: \"\"}\n", "2:19", `is no user's name or number`},
		{"version: 1\nx: [1\ny: 2\n", "3:1", "this is no YAML"},
		{"version: 1\n---\nversion: 1\n", "3:1", "a second document"},
		{"version: 1\ncache: &x 1s\n", "2:8", "anchors, aliases, merge keys and tags are not taken"},
		{"version: 1\n<<: {cache: 1s}\n", "2:1", "anchors, aliases, merge keys and tags are not taken"},
		{"version: 1\r\nhead: \"é\" # x\r\ncache: x\r\n", "3:8", "no time span"},
		{"version: 1\nhead: \xff\n", "2:7", "not UTF-8"},
		{strings.Repeat("[", 200), "1:101", "nested more than"},
		{strings.Repeat("- ", 200), "1:1", "nested more than"},
	} {
		_, err := config.Parse("f.yaml", []byte(tt.text))
		var all strict.Errors
		if !errors.As(err, &all) {
			t.Errorf("%.60q: %v", tt.text, err)
			continue
		}
		e := slices.IndexFunc(all, func(e strict.Error) bool {
			return fmt.Sprintf("%d:%d", e.Line, e.Column) == tt.place && strings.Contains(e.Message, tt.message)
		})
		if e < 0 {
			t.Errorf("%.80q: want %s %s; got\n%v", tt.text, tt.place, tt.message, err)
		}
	}
}

// TestAllAtOnce has many mistakes and wants each with its line and its caret.
func TestAllAtOnce(t *testing.T) {
	_, err := config.Parse("aggrfs.yaml", []byte(`version: 1
nodes:
  - {nodes: "n[1-3]", address: "tcp:%s:5640"}
  - {nodes: "n[2-", address: "unix:/run/%s"}
cahce: 1s
timeouts: {read: -2s}
`))
	want := `aggrfs.yaml:3:32: tcp is neither encrypted nor authenticated; use tls: or a unix: socket, or allow it with "insecure: true"
    - {nodes: "n[1-3]", address: "tcp:%s:5640"}
                                 ^
aggrfs.yaml:4:15: bad nodeset "n[2-": "[" without "]"
    - {nodes: "n[2-", address: "unix:/run/%s"}
                ^
aggrfs.yaml:5:1: unknown key "cahce"; did you mean "cache"?
  cahce: 1s
  ^
aggrfs.yaml:6:18: the time span "-2s" is negative
  timeouts: {read: -2s}
                   ^`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Error(diff)
	}
}

func TestCheckAddress(t *testing.T) {
	for address, fine := range map[string]bool{
		"unix:/run/x.sock": true, "unix:x": false, "unix:": false, "unix:/run/": false, "unix:/a\nb": false,
		"unix:/" + strings.Repeat("a", 106): true, "unix:/" + strings.Repeat("a", 107): false,
		"tcp:n1:5640": true, "tcp:n1.cluster.:1": true, "tcp:[::1]:1": true, "tcp:10.0.0.1:65535": true, "tcp:a_b:1": true,
		"tcp:n1": false, "tcp:n1:0": false, "tcp:n1:65536": false, "tcp:n1:http": false, "tcp:n1:+1": false, "tcp:::1:5": false,
		"tcp:-n:1": false, "tcp:a..b:1": false, "tcp:a b:1": false, "udp:a:1": false, "": false, "tls:n1:5640": true, "tls:n1": false, "tls:n1:0": false,
	} {
		if err := config.CheckNodeAddress(address); (err == nil) != fine {
			t.Errorf("%q: %v", address, err)
		}
	}
	if config.CheckAddress("tcp::5640") != nil || config.CheckNodeAddress("tcp::5640") == nil || config.CheckAddress("tls::1") != nil || config.CheckNodeAddress("tls::1") == nil {
		t.Error("an empty host is for listening only")
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := config.Load(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("no such file: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, strict.MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), "no more than") {
		t.Errorf("a large file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("../../configs/aggrfs.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("version: 1\nnodes: [{nodes: \"n[1-2\", address: x}]\n<<: {a: *b}\n? x\n: !!str y\n"))
	f.Add([]byte("- - - a: [b, {c: \"d\"}]\n---\n..."))
	f.Add([]byte("version: 1\nnodes:\n- {nodes: n[1-3],m[4-, address: \"unix:/%s\"}\nviews: [{users: *, nodes: [a, n[1]x]}]\n"))
	f.Add([]byte("a: |\n  {b[1]\n? {c: [1]d, 'e\n f[2]': @g, # {\n- h: %i"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("f", data)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		var all strict.Errors
		if err != nil && (!errors.As(err, &all) || len(all) == 0 || err.Error() == "") {
			t.Fatalf("%#v", err)
		}
	})
}
