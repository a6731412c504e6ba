package config_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/internal/spelling"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// people is a user database; it does not answer about "slow".
type people map[string]uint32

func (p people) Group(_ context.Context, name string) (uint32, error) {
	if name == "slow" {
		return 0, errors.New("no answer")
	}
	id, ok := p[name]
	if !ok {
		return 0, userdb.ErrUnknown
	}
	return id, nil
}

func (p people) User(ctx context.Context, name string) (userdb.User, error) {
	id, err := p.Group(ctx, name)
	return userdb.User{Name: name, UID: id}, err
}

func (p people) NearestUser(_ context.Context, name string) string {
	return spelling.Nearest(name, []string{"ann", "bob", "ops", "slurm"})
}

func (p people) NearestGroup(ctx context.Context, name string) string {
	return p.NearestUser(ctx, name)
}

func (p people) Subordinate(uid uint32) (string, bool)      { return "ann", uid == 100005 }
func (p people) SubordinateGroup(gid uint32) (string, bool) { return "ann", gid == 100005 }

// unmatched knows <pid>/environ.
func unmatched(p *procpath.Pattern) (text, near string, is bool) {
	for _, text := range p.Alternatives() {
		if text != "<pid>/environ" {
			return text, spelling.Nearest(text, []string{"<pid>/environ"}), true
		}
	}
	return "", "", false
}

// What is probably mistyped is a warning, with its place and what was probably meant;
// the configuration is taken.
func TestDoubts(t *testing.T) {
	db := people{"ann": 1001, "bob": 1002, "ops": 60, "slurm": 64030, "nobody": vfs.OverflowID}
	const tls = "listen: [\"tls:127.0.0.1:5641\"]\ntls: {cert: /a, key: /b, ca: /c}\n"
	for text, want := range map[string]string{
		"admins: {users: an}":                                                     `aggrfs.yaml:2:17: the user database has no user "an"; did you mean "ann"?` + "\n  admins: {users: an}\n                  ^",
		"admins: {groups: [ops, opz]}":                                            `aggrfs.yaml:2:24: the user database has no group "opz"; did you mean "ops"?`,
		"views: [{groups: elsewhere, nodes: all}]":                                `aggrfs.yaml:2:18: the user database has no group "elsewhere"` + "\n",
		"views: [{users: [ann, bobb], nodes: all}]":                               `aggrfs.yaml:2:23: the user database has no user "bobb"; did you mean "bob"?`,
		"views: [{users: ann, nodes: alocated}]":                                  `aggrfs.yaml:2:29: there is no node "alocated"; did you mean "allocated"?`,
		"views: [{users: ann, nodes: [n1, Al]}]":                                  `there is no node "Al"; did you mean "all"?`,
		"views: [{users: ann, nodes: ALL}]":                                       `there is no node "ALL"; did you mean "all"?`,
		"views: [{users: ann, nodes: all, processes: onw}]":                       `aggrfs.yaml:2:45: the user database has no user "onw"; did you mean "own"?`,
		"views: [{users: ann, nodes: all, processes: [own, an]}]":                 `the user database has no user "an"; did you mean "ann"?`,
		"views: [{users: \"100005\", nodes: all}]":                                "uid 100005 is a subordinate id of ann (/etc/subuid)",
		"views: [{groups: \"100005\", nodes: all}]":                               "gid 100005 is a subordinate id of ann (/etc/subgid)",
		"views: [{users: ann, nodes: all, deny: \"<pid>/enviorn\"}]":              `aggrfs.yaml:2:41: "<pid>/enviorn" matches no file of /proc; did you mean "<pid>/environ"?`,
		"views: [{users: ann, nodes: all, deny: [\"<pid>/environ\", xyzzy]}]":     `aggrfs.yaml:2:58: "xyzzy" matches no file of /proc that is known here: nothing is denied by it`,
		"views: [{users: nobody, nodes: all}]":                                    "stands for nobody",
		"views: [{groups: \"65534\", nodes: all}]":                                "stands for nobody",
		"views: [{users: ann, nodes: allocated}]":                                 "the key allocations says where from, and is missing",
		"views: [{certificates: c, nodes: all}]":                                  "nobody can show a certificate here",
		"allocations: {command: [/b], user: slrum}":                               `aggrfs.yaml:2:36: the user database has no user "slrum"; did you mean "slurm"?`,
		tls + "certificates: {c.example: anne}":                                   `no user "anne"; did you mean "ann"?`,
		tls + "certificates: {c.example: ann}\nadmins: {certificates: c.exampel}": `a certificate "c.exampel" is named nowhere else; did you mean "c.example"?`,

		"admins: {users: [ann, \"4711\"], groups: [ops, slow]}":                                "",
		"nodes: [{nodes: al, address: \"unix:/a\"}]\nviews: [{users: \"*\", nodes: [al, n7]}]": "",
		"head: alll\nviews: [{users: slow, nodes: alll, processes: [own, ann, slow]}]":         "",
		"allocations: {command: [/b], user: slurm}\nviews: [{users: \"*\", nodes: allocated}]": "",
		"views: [{users: ann, nodes: all, deny: \"<pid>/environ\"}]":                           "",
		"allocations: {file: /b, timeout: 3s}":                                                 "",
		tls + "views: [{certificates: [stranger, c], nodes: all}]":                             "",
	} {
		c, err := config.Parse("aggrfs.yaml", []byte("version: 1\n"+text+"\n"))
		if err != nil {
			t.Errorf("%s:\n%v", text, err)
			continue
		}
		got := c.Doubts(t.Context(), db, unmatched)
		if want == "" && len(got) != 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0]+"\n", want)) {
			t.Errorf("%s:\n%q\nwant %q", text, got, want)
		}
	}
	c, err := config.Parse("aggrfs.yaml", []byte("version: 1\nallocations: {command: [/b]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Doubts(t.Context(), db, unmatched); os.Geteuid() == 0 && (len(got) != 1 || !strings.Contains(got[0], "runs as nobody")) {
		t.Errorf("%q", got)
	}
	for text, want := range map[string]string{
		"allocations: {file: /b, user: ann}":       "user is for a command",
		"allocations: {command: [/b], user: a b}":  `"a b" is no user's name`,
		"allocations: {command: [/b], user: \"\"}": "no user's name",
	} {
		if _, err := config.Parse("aggrfs.yaml", []byte("version: 1\n"+text+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Doubts about a file of views.d name that file.
func TestDoubtsOfViews(t *testing.T) {
	path := writeFiles(t, map[string]string{
		"aggrfs.yaml": "version: 1\nadmins: {users: an}\n", "views.d/a.yaml": "views:\n- users: ann\n  nodes: alocated\n",
	})
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	got := c.Doubts(t.Context(), people{"ann": 1001}, unmatched)
	if len(got) != 2 || !strings.Contains(got[0], "aggrfs.yaml:2:17: ") || !strings.Contains(got[1], "views.d/a.yaml:3:10: ") {
		t.Errorf("%q", got)
	}
}

// A node that the cluster has not is warned of once, be it nearly a keyword or not.
func TestUnknownNodeOnce(t *testing.T) {
	for nodes, want := range map[string]string{
		"alocated": `there is no node "alocated"; did you mean "allocated"?`,
		"al":       `there is no node "al"; did you mean "all"?`,
		"n11":      `not in the cluster: n11`,
		"alpha2":   `not in the cluster: alpha2`,
		"alhpa1":   `not in the cluster: alhpa1 (did you mean alpha1?)`,
		"zz":       `not in the cluster: zz`,
		"n1":       "",
		"all":      "",
	} {
		c, err := config.Parse("aggrfs.yaml", []byte("version: 1\nhead: login\nnodes: [{nodes: n1, address: \"unix:/a\"}, {nodes: alpha1, address: \"unix:/b\"}]\nviews: [{users: ann, nodes: "+nodes+"}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		got := append(c.Warnings(), c.Doubts(t.Context(), people{"ann": 1001}, unmatched)...)
		if want == "" && len(got) != 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("%s: %q, want %q", nodes, got, want)
		}
	}
}
