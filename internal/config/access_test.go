package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/config/strict"
)

// writeFiles writes a configuration and what stands beside it.
func writeFiles(t *testing.T, files map[string]string) (path string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "aggrfs.yaml")
}

func TestAccess(t *testing.T) {
	path := writeFiles(t, map[string]string{
		"aggrfs.yaml": `version: 1
admins: {users: ann, groups: [ops, "60"], certificates: root.example}
views:
  - {users: [bob, 1003], nodes: "n[1-3]", processes: [own, ann]}
  - certificates: scraper
    nodes: all
    processes: all
    deny: ["<pid>/environ", "**/maps"]
allocations: {command: [/usr/bin/squeue, -h, -o, "%u %N %e"], interval: 20s}
`,
		"views.d/20.yaml":      "views:\n- {users: \"*\", nodes: [allocated, login]}\n",
		"views.d/10.yaml":      "views: [{groups: chem, nodes: n4}]\n",
		"views.d/.#11.yaml":    "an editor's",
		"views.d/README":       "no view",
		"views.d/10.yaml.orig": "old",
	})
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var admins, views []string
	for _, p := range c.Access.Admins {
		admins = append(admins, p.String())
	}
	for _, v := range c.Access.Views {
		text := strings.TrimPrefix(v.Place, filepath.Dir(path)+"/")
		for _, p := range v.For {
			text += ", " + p.String()
		}
		text += ": " + v.Nodes.String() + ": " + v.Processes.String()
		for _, d := range v.Deny {
			text += " -" + d.String()
		}
		views = append(views, text)
	}
	if got, want := strings.Join(admins, "; "), "user ann; group ops; group 60; certificate root.example"; got != want {
		t.Errorf("admins: %s", got)
	}
	want := `aggrfs.yaml:4, user bob, user 1003: n[1-3]: own,ann
aggrfs.yaml:5, certificate scraper: all: all -<pid>/environ -**/maps
views.d/10.yaml:1, group chem: n4: own
views.d/20.yaml:2, any user: allocated,login: own`
	if got := strings.Join(views, "\n"); got != want {
		t.Errorf("views:\n%s\nwant\n%s", got, want)
	}
	if a := c.Allocations; a == nil || a.Interval != 20*time.Second || len(a.Command) != 4 {
		t.Errorf("allocations: %+v", a)
	}
}

func TestBadAccess(t *testing.T) {
	for text, want := range map[string]string{
		"admins: {users: \"*\"}":                                      `aggrfs.yaml:2:17: "*" would make every user an administrator`,
		"admins: [ann]":                                               "aggrfs.yaml:2:9: a list stands where keys and values",
		"views: [{nodes: n1}]":                                        "aggrfs.yaml:2:9: nobody is named",
		"views: [{users: ann}]":                                       "aggrfs.yaml:2:9: nodes is missing",
		"views: [{users: ann, nodes: \"n[1-\"}]":                      "aggrfs.yaml:2:",
		"views: [{users: \"ann,bob\", nodes: n1}]":                    `"ann,bob" is no name; write a list: [ann, bob]`,
		"admins: {groups: \"ops, 60\"}":                               `"ops, 60" is no name; write a list: [ops, 60]`,
		"views: [{users: a, nodes: n1, processes: \"own,bob\"}]":      `"own,bob" is no name; write a list: [own, bob]`,
		"views: [{users: a, nodes: \"all,n1\"}]":                      `write [all, n1]`,
		"views: [{users: a, nodes: \"n[1,3],allocated\"}]":            `write ["n[1,3]", allocated]`,
		"views: [{users: a, nodes: all n1}]":                          `write [all, n1]`,
		"allocations: {command: /usr/bin/squeue --noheader}":          `write a list: [/usr/bin/squeue, --noheader]`,
		"allocations: {command: squeue -h, user: a}":                  `write a list: [squeue, -h]`,
		"allocations: {command: [/usr/bin/squeue -h -o \"%u %N\"]}":   `write a list: [/usr/bin/squeue, -h, -o, "%u %N"]`,
		"views: [{users: a b, nodes: n1}]":                            `"a b" cannot be the name of a user`,
		"views: [{users: ann, nodes: n1, processes: [all, own]}]":     "all stands alone",
		"views: [{users: ann, nodes: n1, proceses: own}]":             `did you mean "processes"?`,
		"views: [{users: ann, nodes: n1, deny: \"<pid>/{a\"}]":        `aggrfs.yaml:2:46: bad pattern`,
		"allocations: {}":                                             "a file or a command",
		"allocations: {file: /a, command: [/b]}":                      "both a file and a command",
		"allocations: {command: squeue}":                              "no absolute path",
		"allocations: {file: /a, interval: 0s}":                       "a time of zero",
		"views: [{users: \"*\", nodes: all, deny: [\"/proc/x\"]}]":    "relative to a node's /proc",
		"views:\n  - {groups: [\"*\"], nodes: all, processes: all}\n": `"*" cannot be the name of a group`,
	} {
		_, err := config.Parse("aggrfs.yaml", []byte("version: 1\n"+text+"\n"))
		var all strict.Errors
		if !errors.As(err, &all) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v\nwant %q", text, err, want)
		}
	}
}

// One bad file of views.d refuses all, and every mistake is named.
func TestViewsAreRefusedWhole(t *testing.T) {
	good := "views: [{users: \"*\", nodes: n1}]\n"
	files := map[string]string{"aggrfs.yaml": "version: 1\n", "views.d/a.yaml": good, "views.d/b.yaml": good}
	for what, spoil := range map[string]func(dir string) error{
		"b.yaml:1:10: unknown key \"user\"": func(dir string) error {
			return os.WriteFile(dir+"/views.d/b.yaml", []byte("views: [{user: ann, nodes: n1}]\n"), 0o644)
		},
		"can be written by everybody": func(dir string) error { return os.Chmod(dir+"/views.d/b.yaml", 0o646) },
		"views.d is a directory that everybody": func(dir string) error {
			return os.Chmod(dir+"/views.d", 0o777|os.ModeSticky)
		},
		"is a link": func(dir string) error {
			return errors.Join(os.Rename(dir+"/views.d/b.yaml", dir+"/real"), os.Symlink(dir+"/real", dir+"/views.d/b.yaml"))
		},
		"aggrfs.yaml can be written": func(dir string) error { return os.Chmod(dir+"/aggrfs.yaml", 0o666) },
		"no regular file": func(dir string) error {
			return errors.Join(os.Remove(dir+"/views.d/b.yaml"), os.Mkdir(dir+"/views.d/b.yaml", 0o755))
		},
	} {
		path := writeFiles(t, files)
		if _, err := config.Load(path); err != nil {
			t.Fatal(err)
		}
		if err := spoil(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
		if c, err := config.Load(path); c != nil || err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want one that says %q", err, what)
		}
	}
}

func TestPolicyKey(t *testing.T) {
	c, err := config.Parse("aggrfs.yaml", []byte("version: 1\npolicy: /etc/aggrfs/../policy.yaml\n"))
	if err != nil || c.Policy != "/etc/policy.yaml" || c.Cache != nil {
		t.Errorf("%+v, %v", c, err)
	}
	for text, want := range map[string]string{
		"policy: policy.yaml\n":            "aggrfs.yaml:2:9: \"policy.yaml\" is no absolute path",
		"cache: 1s\npolicy: /etc/p.yaml\n": "aggrfs.yaml:2:8: cache and policy both say what is cached",
	} {
		if _, err := config.Parse("aggrfs.yaml", []byte("version: 1\n"+text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// A program whose name has a blank is one, in a list.
func TestBlankInProgram(t *testing.T) {
	c, err := config.Parse("aggrfs.yaml", []byte("version: 1\nallocations: {command: [/opt/our queue]}\n"))
	if err != nil || len(c.Allocations.Command) != 1 || c.Allocations.Command[0] != "/opt/our queue" {
		t.Errorf("%+v, %v", c, err)
	}
}
