//go:build packages

package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/test/wait"
)

// TestDebian installs the packages of the commit before, uses them, upgrades them while a
// mount and commands are in use, and removes and purges them. Then it installs those of the source
// at hand, as on a machine that has never had any.
func TestDebian(t *testing.T) {
	root := unpack(t)
	for name, dir := range map[string]string{"old": older, "new": fresh} {
		for _, pattern := range []string{"aggrfs_*_amd64.deb", "aggrfs-node_*_amd64.deb"} {
			command(t, "install", "-D", "-m", "0644", "-t", filepath.Join(root, "root", name), one(t, dir, pattern))
		}
	}
	m := boot(t, root)
	m.run(t, "useradd --create-home ann")
	before := m.files(t)

	ok := t.Run("install", func(t *testing.T) {
		m.install(t, "old")
		m.configure(t)
		m.run(t, "systemctl enable --now aggrfs procsrv aggrfs-mount")
		m.nodes(t)
	})
	ok = ok && t.Run("upgrade", m.upgrade)
	ok = ok && t.Run("units", m.units)
	ok = ok && t.Run("man", m.man)
	ok = ok && t.Run("completion", m.completion)
	ok = ok && t.Run("updatedb", m.updatedb)
	ok = ok && t.Run("remove", m.remove)
	ok = ok && t.Run("purge", func(t *testing.T) { m.purge(t, before) })
	if !ok {
		return
	}
	t.Run("anew", func(t *testing.T) {
		m.install(t, "new")
		m.run(t, "systemctl start aggrfs procsrv")
		if out := m.run(t, "aggrfs nodes"); !regexp.MustCompile(`(?m)^n001 +0 +up `).MatchString(out) {
			t.Errorf("a head node alone: %s", out)
		}
		m.man(t)
		m.purge(t, before)
	})
}

// install installs packages, by the command line of the README.
func (m *machine) install(t *testing.T, which string) {
	t.Helper()
	m.run(t, "cd /root/"+which+" && apt-get install -q -y -o Dpkg::Options::=--force-confold --allow-downgrades ./aggrfs_*.deb ./aggrfs-node_*.deb </dev/null")
}

// configure makes this machine two of a cluster: the head, and node n001 that it reaches by TLS.
// What is to be done for that the documents say.
func (m *machine) configure(t *testing.T) {
	t.Helper()
	m.run(t, `aggrfs certs init /etc/aggrfs/ca
		aggrfs certs issue --dir /etc/aggrfs/ca 'head,n001'
		install -d -m 0700 /etc/aggrfs/tls
		cp -p /etc/aggrfs/ca/{head,n001}.{crt,key} /etc/aggrfs/ca/ca.crt /etc/aggrfs/tls/`)
	dropIn := filepath.Join(m.root, "etc/systemd/system/procsrv.service.d/tls.conf")
	if err := os.MkdirAll(filepath.Dir(dropIn), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dropIn, []byte(documented(t, "## Over TLS", "    [Service]\n    ExecStart=\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(m.root, "etc/aggrfs/aggrfs.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, `head: head
tls: {cert: /etc/aggrfs/tls/head.crt, key: /etc/aggrfs/tls/head.key, ca: /etc/aggrfs/tls/ca.crt}
nodes:
  - {nodes: n001, address: "tls:127.0.0.1:5640"}
views:
  - {users: ann, nodes: all, processes: all}
`...)
	if err := os.WriteFile(config, text, 0o644); err != nil {
		t.Fatal(err)
	}
	m.run(t, "systemctl daemon-reload")
}

// documented is the indented text of packaging/README.md below a heading that begins so,
// without what indents it.
func documented(t *testing.T, heading, begin string) string {
	t.Helper()
	text, err := os.ReadFile(source + "/packaging/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), heading+"\n")
	_, rest, found := strings.Cut(section, begin)
	if !found {
		t.Fatalf("there is no %q below %q", begin, heading)
	}
	block, _, _ := strings.Cut(begin+rest, "\n\n")
	return strings.ReplaceAll("\n"+block, "\n    ", "\n") + "\n"
}

// nodes waits for both nodes to be up.
func (m *machine) nodes(t *testing.T) {
	t.Helper()
	up := regexp.MustCompile(`(?m)^(head +0|n001 +1) +up `)
	wait.For(t, "both nodes", func() error {
		out, err := m.try("aggrfs nodes")
		if err == nil && len(up.FindAllString(out, -1)) != 2 {
			err = fmt.Errorf("they are not up")
		}
		if err != nil {
			log, _ := m.try("journalctl --no-pager --lines=20 -u aggrfs -u procsrv")
			return fmt.Errorf("%w:\n%s\n%s", err, out, log)
		}
		return nil
	})
}

// upgrade upgrades to the new packages while they are in use: by a process that has a file of
// the standing mount open, and by commands of root's and of a user's that look at all processes
// again and again.
func (m *machine) upgrade(t *testing.T) {
	m.waitFor(t, "the mount", "grep -q n001 /global/cluster/nodes")
	const look = `while sleep 0.1; do ps -e -o user=,pid= | awk '$2 > 10000000 {print $1}' | sort | uniq -c | tr '\n' ' ' >$1.new && mv $1.new $1; done`
	if err := os.WriteFile(filepath.Join(m.root, "tmp/look"), []byte(look+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.run(t, `systemd-run --quiet --unit=holds sh -c 'exec 3</global/cluster/nodes && exec sleep 1000000'
		systemd-run --quiet --unit=looks aggrfs exec -- sh /tmp/look /root/looks
		systemd-run --quiet --unit=ann --uid=ann --gid=ann aggrfs exec -- sh /tmp/look /home/ann/looks`)
	// Owners are shown to a user as they are: the helper has its capability.
	const sees = "grep -q ' root ' /root/looks && grep -q ' root ' /home/ann/looks"
	m.waitFor(t, "commands that look at all processes", sees)

	show := "systemctl show --value --property MainPID aggrfs-mount holds looks ann; findmnt --noheadings --output ID,FSTYPE --target /global; md5sum /etc/aggrfs/aggrfs.yaml"
	was, server := m.run(t, show), m.run(t, "systemctl show --value --property MainPID aggrfs procsrv")
	m.install(t, "new")
	if is := m.run(t, show); is != was {
		t.Errorf("the upgrade changed what was in use, or the configuration:\n%s\n%s", was, is)
	}
	if is := m.run(t, "systemctl show --value --property MainPID aggrfs procsrv"); is == server || strings.Contains(is, "\n0\n") {
		t.Errorf("the servers that ran go on: %s, %s", server, is)
	}
	for _, unit := range []string{"aggrfs", "procsrv"} {
		if exe := m.run(t, "readlink /proc/$(systemctl show --value --property MainPID "+unit+")/exe"); strings.Contains(exe, "deleted") {
			t.Errorf("%s is %s", unit, exe)
		}
	}
	m.nodes(t)
	m.waitFor(t, "the mount after the upgrade", "grep -q '^n001 .* up ' /global/cluster/nodes")
	m.run(t, "rm /root/looks /home/ann/looks")
	m.waitFor(t, "commands that go on after the upgrade", sees)
	if is := m.run(t, show); is != was {
		t.Errorf("after the upgrade something that was in use has ended:\n%s\n%s", was, is)
	}
	m.run(t, "systemctl stop holds looks ann")
}

// units has systemd find nothing wrong with them.
func (m *machine) units(t *testing.T) {
	if out := m.run(t, "systemd-analyze verify --man=yes aggrfs.service procsrv.service aggrfs-mount.service"); out != "" {
		t.Error(out)
	}
	if out := m.run(t, "systemctl show --value --property NeedDaemonReload aggrfs procsrv aggrfs-mount"); strings.Contains(out, "yes") {
		t.Errorf("units that systemd has not read: %s", out)
	}
}

// man shows each page, in the width of a terminal.
func (m *machine) man(t *testing.T) {
	if out := m.run(t, "MANWIDTH=80 man -P cat aggrfs-ps"); !strings.Contains(out, "aggrfs-ps - show the processes of the cluster") || !strings.Contains(out, "--sort=COLUMNS") {
		t.Errorf("man aggrfs-ps: %s", out)
	}
	pages := strings.Fields(m.run(t, "dpkg -L aggrfs aggrfs-node | grep /man/man./"))
	if len(pages) < 20 {
		t.Errorf("there are only the pages %q", pages)
	}
	for _, page := range pages {
		name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(page), ".gz"), ".")
		out, err := m.try("MANWIDTH=80 MANROFFSEQ=t man --warnings --encoding=UTF-8 --local-file " + page + " >/dev/null && lexgrog " + page)
		if err != nil || !strings.Contains(out, name) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %v: %s", page, err, out)
		}
	}
	if out := m.run(t, "whatis aggrfs-serve procsrv"); !strings.Contains(out, "procsrv (8)") {
		t.Errorf("whatis: %s", out)
	}
}

// completion has each shell complete a command.
func (m *machine) completion(t *testing.T) {
	for shell, script := range map[string]string{
		"bash": `. /usr/share/bash-completion/bash_completion; _completion_loader aggrfs || true
			COMP_LINE='aggrfs pol' COMP_POINT=10 COMP_WORDS=(aggrfs pol) COMP_CWORD=1 COMP_TYPE=9; __start_aggrfs; echo "${COMPREPLY[@]}"`,
		"fish": `fish -c 'complete -C "aggrfs pol"'`,
		"zsh": `zsh -f -c 'autoload -Uz compinit; compinit -u -D; echo $_comps[aggrfs]
			words=(aggrfs pol); CURRENT=2; _describe() { print -l -- $completions }; autoload -U +X _aggrfs; _aggrfs'`,
	} {
		if out := m.run(t, "set +e; "+script); !strings.Contains(out, "policy") {
			t.Errorf("%s: %s", shell, out)
		}
	}
}

// updatedb leaves the mount alone if it is told to, as docs/mount.md has it, and only then.
func (m *machine) updatedb(t *testing.T) {
	const update = `updatedb.plocate --require-visibility no --output /tmp/db %s
		plocate --database /tmp/db --limit 3 /global/ || test $? = 1`
	if out := m.run(t, fmt.Sprintf(update, "")); !strings.Contains(out, "/global/") {
		t.Errorf("it has nothing of the mount without being told: %s", out)
	}
	if out := m.run(t, fmt.Sprintf(update, "--add-prunefs fuse.aggrfs")); out != "" {
		t.Errorf("it has been in the mount: %s", out)
	}
}

// remove removes the packages, and what they have running, but not their configuration.
func (m *machine) remove(t *testing.T) {
	m.run(t, "apt-get remove -q -y aggrfs aggrfs-node </dev/null")
	if out := m.run(t, "pgrep -a 'aggrfs|procsrv' || true; findmnt /global || true; ls /etc/systemd/system/*.wants | grep -E 'aggrfs|procsrv' || true"); out != "" {
		t.Errorf("still there: %s", out)
	}
	m.run(t, "test -s /etc/aggrfs/aggrfs.yaml")
}

// purge purges the packages, after what was configured beside is gone, and looks for what is left.
func (m *machine) purge(t *testing.T, before string) {
	m.run(t, `rm -rf /etc/aggrfs/ca /etc/aggrfs/tls /etc/systemd/system/procsrv.service.d /root/looks /home/ann/looks
		apt-get purge -q -y aggrfs aggrfs-node </dev/null`)
	if after := m.files(t); after != before {
		old := strings.Split(before, "\n")
		for line := range strings.SplitSeq(after, "\n") {
			if !strings.Contains(before, line) {
				t.Errorf("left: %s", line)
			}
		}
		for _, line := range old {
			if !strings.Contains(after, line) {
				t.Errorf("gone or changed: %s", line)
			}
		}
	}
}

// files are all files of the machine with their modes, owners and, where others than the
// packages might have been changed, contents; but for logs, caches and the packaging
// system's own.
func (m *machine) files(t *testing.T) string {
	t.Helper()
	return m.run(t, `find / /run -xdev \( -path /var/log -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd \
			-o -path /run/systemd -o -path /run/log -o -path /run/lock -o -path /root -o -path /tmp -o -path /var/tmp -o -name 'passwd-' -o -name 'group-' -o -name 'shadow-' -o -name 'gshadow-' \) -prune \
			-o ! -name .pwd.lock ! -path / ! -path /etc ! -path '/run/dbus*' -printf '%M %u:%g %p %l\n' | sort
		find /etc -type f ! -name '*-' ! -name .pwd.lock -exec md5sum {} + | sort -k 2`)
}
