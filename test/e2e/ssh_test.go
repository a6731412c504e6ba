package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/test/wait"
)

// An sshSite is a real sshd on the loopback of a network namespace of its own, which lets root in by a key.
type sshSite struct {
	t       *testing.T
	dir     string
	within  []string // what a command begins with that is to be run there
	address string   // of a node in a configuration, the name of a host of ssh_config being %s
}

// newSSHSite starts the sshd. Who comes to the host "greeting" is greeted by a shell; to all others it
// gives what they ask for.
func newSSHSite(t *testing.T) *sshSite {
	t.Helper()
	dir := t.TempDir()
	s := &sshSite{t: t, dir: dir, address: "exec:ssh -F " + dir + "/ssh_config -o BatchMode=yes -- %s " + filepath.Join(bin, "procsrv") + " --stdio"}
	for _, key := range []string{"host", "user"} {
		s.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key))
	}
	s.run("cp", filepath.Join(dir, "user.pub"), filepath.Join(dir, "authorized_keys"))
	s.write("greet", 0o755, "#!/bin/sh\necho Welcome to this node\nexec $SSH_ORIGINAL_COMMAND\n")
	s.write("sshd_config", 0o600, fmt.Sprintf(`ListenAddress 127.0.0.1:22
ListenAddress 127.0.0.1:23
HostKey %[1]s/host
AuthorizedKeysFile %[1]s/authorized_keys
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
Match LocalPort 23
	ForceCommand %[1]s/greet
`, dir))
	s.write("ssh_config", 0o644, fmt.Sprintf(`Host away
	Port 24
Host greeting
	Port 23
Host *
	HostName 127.0.0.1
	User root
	IdentityFile %s/user
	IdentitiesOnly yes
	UserKnownHostsFile /dev/null
	StrictHostKeyChecking no
	LogLevel ERROR
`, dir))
	log, err := os.Create(filepath.Join(dir, "sshd.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	sshd := exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c",
		`mkdir -p /run/sshd && mount -t tmpfs -o mode=755 none /run/sshd && ip link set lo up && exec /usr/sbin/sshd -D -e -f "$0"`, filepath.Join(dir, "sshd_config"))
	sshd.Stdout, sshd.Stderr = log, log
	sshd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := sshd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sshd.Process.Signal(syscall.SIGTERM)
		sshd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("sshd: %s", text)
		}
	})
	s.within = []string{"nsenter", "--net=/proc/" + strconv.Itoa(sshd.Process.Pid) + "/ns/net"}
	wait.For(t, "sshd lets root in", func() error {
		_, err := output(s.command("ssh", "-F", filepath.Join(dir, "ssh_config"), "n1", "true"))
		return err
	})
	return s
}

func (s *sshSite) write(name string, mode os.FileMode, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sshSite) run(argv ...string) {
	s.t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		s.t.Fatalf("%q: %v: %s", argv, err, out)
	}
}

func (s *sshSite) command(argv ...string) *exec.Cmd {
	argv = append(s.within[:len(s.within):len(s.within)], argv...)
	return exec.Command(argv[0], argv[1:]...)
}

// aggrfs is the output of a command on the server.
func (s *sshSite) aggrfs(sub string, args ...string) string {
	out, err := output(exec.Command(filepath.Join(bin, "aggrfs"), append([]string{sub, "--server", "unix:" + s.dir + "/sock"}, args...)...))
	if err != nil {
		s.t.Log(err)
	}
	return out
}

// theirs are the processes with that among their arguments.
func (s *sshSite) theirs(text string) (pids []int) {
	lists, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, list := range lists {
		args, err := os.ReadFile(list)
		if err == nil && strings.Contains(strings.ReplaceAll(string(args), "\x00", " "), text) {
			pid, _ := strconv.Atoi(strings.Split(list, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// Nodes are reached by ssh, with nothing of ours running there before: each reads as any other; what is
// wrong with one is said in a word; a connection that breaks is made again; and nothing is left on either
// side when the server ends.
func TestNodesBySSH(t *testing.T) {
	s := newSSHSite(t)
	s.write("aggrfs.yaml", 0o600, fmt.Sprintf(`version: 1
listen: ["unix:%[1]s/sock"]
state: %[1]s/gpids.json
head: login
timeouts: {connect: 30s, read: 10s, sweep: 10s}
nodes:
- {nodes: "n[1-2],greeting,away", address: "%[2]s", user: root}
- {nodes: none, address: "%[3]s", user: root}
`, s.dir, s.address, strings.Replace(s.address, "procsrv --stdio", "no-procsrv --stdio", 1)))
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	serve := s.command(filepath.Join(bin, "aggrfs"), "serve", "--config", filepath.Join(s.dir, "aggrfs.yaml"))
	serve.Stderr = log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() {
		serve.Process.Signal(syscall.SIGTERM)
		if err := serve.Wait(); err != nil {
			text, _ := os.ReadFile(log.Name())
			t.Errorf("aggrfs serve: %v\n%s", err, text)
		}
	}
	defer func() {
		if serve.ProcessState == nil {
			end()
		}
	}()
	row := func(node string) string {
		for line := range strings.Lines(s.aggrfs("nodes")) {
			if strings.Fields(line)[0] == node {
				return line
			}
		}
		return ""
	}
	for node, want := range map[string]string{
		"n1": " up ", "n2": " up ",
		"greeting": `Welcome to this node`,
		"none":     "install procsrv on the node",
		"away":     "Connection refused",
	} {
		wait.Until(t, node+" says "+want, func() bool { return strings.Contains(row(node), want) })
	}
	sleeper := exec.Command("sleep", "7261.5")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleeper.Wait()
	defer sleeper.Process.Kill()
	sees := func() bool {
		out := s.aggrfs("ps", "--nodes", "n[1-2]", "-o", "node,npid,args")
		return strings.Count(out, "sleep 7261.5") == 2
	}
	wait.Until(t, "both nodes show a process", sees)

	// In the middle: sshd's side of n1 goes.
	procsrvs := s.theirs("procsrv --stdio")
	if len(procsrvs) < 2 {
		t.Fatalf("procsrv --stdio runs as %v", procsrvs)
	}
	for _, pid := range procsrvs {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && filepath.Base(exe) == "procsrv" {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	wait.Until(t, "the nodes are up again", func() bool {
		return strings.Contains(row("n1"), " up ") && strings.Contains(row("n2"), " up ") && sees()
	})
	if text, err := os.ReadFile(log.Name()); err != nil || !strings.Contains(string(text), "exited 255") && !strings.Contains(string(text), "exited 137") && !strings.Contains(string(text), "killed") {
		t.Errorf("the log does not say how the connections broke: %v\n%s", err, text)
	}
	end()
	wait.Until(t, "nothing is left", func() bool {
		return len(s.theirs(s.dir+"/ssh_config -o")) == 0 && len(s.theirs(filepath.Join(bin, "procsrv")+" --stdio")) == 0
	})
}
