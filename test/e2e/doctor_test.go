package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/certs"
)

// aggrfs doctor finds each thing that is wrong, and says what helps. Each is made wrong in namespaces of
// the case's own, in which the device of FUSE is there for everybody.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	const day = 24 * time.Hour
	ca, err := certs.Init(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certs.Init(filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	// life makes a certificate for n1 that is good between these times from now.
	life := func(name string, from, until time.Duration) {
		t.Helper()
		c, k, err := ca.Sign("n1", time.Now().Add(from), time.Now().Add(until))
		if err != nil {
			t.Fatal(err)
		}
		for suffix, text := range map[string][]byte{".crt": c, ".key": k} {
			if err := os.WriteFile(filepath.Join(dir, name+suffix), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	life("good", -day, 90*day)
	life("open", -day, 90*day)
	life("ended", -9*day, -day)
	life("early", day, 90*day)
	life("ending", -day, 9*day)
	if err := os.Chmod(filepath.Join(dir, "open.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	tls := func(name string) string {
		return fmt.Sprintf("--tls-cert %s/%s.crt --tls-key %[1]s/%[2]s.key --tls-ca %[1]s/ca/ca.crt --name n1", dir, name)
	}
	config := filepath.Join(dir, "aggrfs.yaml")
	if err := os.WriteFile(config, []byte("version: 1\nhead: head\nlisten: [\"unix:"+dir+"/no.sock\"]\nnodes: [{nodes: n1, address: \"unix:"+dir+"/n1.sock\"}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reachable(t, filepath.Join(dir, "fuse"))
	reachable(t, filepath.Join(bin, "aggrfs"))
	device := filepath.Join(dir, "fuse")
	if err := unix.Mknod(device, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(device, 0o666); err != nil {
		t.Fatal(err)
	}
	// listens has python listen on what is bound, while the doctor looks.
	listens := func(bind string) string {
		return fmt.Sprintf(`rm -f %[1]s/ready; python3 -c 'import socket,time
s=%[2]s; s.listen(); open("%[1]s/ready","w"); time.sleep(600)' & p=$!
trap 'kill $p; wait $p 2>/dev/null' EXIT
while ! [ -e %[1]s/ready ]; do kill -0 $p || exit 9; sleep 0.02; done; `, dir, bind)
	}
	const dev = "mount -t tmpfs tmpfs /dev; mknod -m 666 /dev/null c 1 3; "
	const sysctl = "r=$(cat /proc/sys/kernel/osrelease); mount -t tmpfs tmpfs /proc/sys/kernel; echo $r >/proc/sys/kernel/osrelease; "
	const newProc = "mount -t proc -o %s proc /proc; "
	for _, tc := range []struct {
		name, unshare, script, prefix, args string
		status                              int
		check, state                        string
		says                                []string
	}{
		{"all is well", "", "", "", "--config " + config + " " + tls("good"), 0, "certificate", "ok", []string{"of n1, until"}},
		{"fuse", "", "grep -v fuse /proc/filesystems >" + dir + "/fs; mount --bind " + dir + "/fs /proc/filesystems; ", "", "", 1, "fuse", "wrong", []string{"modprobe fuse"}},
		{"no device", "", dev, "", "", 1, "device", "wrong", []string{"no such file", "mknod -m 666"}},
		{"a device for root", "", dev + "mknod -m 600 /dev/fuse c 10 229; ", "", "", 1, "device", "wrong", []string{"mode 0600", "chmod 666 /dev/fuse"}},
		{"another device", "", dev + "mknod -m 666 /dev/fuse c 1 5; ", "", "", 1, "device", "wrong", []string{"not the device of FUSE"}},
		{"a device that is forbidden", "", dev + "mknod -m 666 /dev/fuse c 10 229; mount -o remount,nodev /dev; ", "", "", 1, "device", "wrong", []string{"cannot be opened", "allowed"}},
		{"no user namespaces", "--user --map-root-user", "echo 0 >/proc/sys/user/max_user_namespaces; ", "", "", 1, "userns", "wrong", []string{"aggrfs-ns", "sysctl user.max_user_namespaces=10000"}},
		{"none for users", "", sysctl + "echo 0 >/proc/sys/kernel/unprivileged_userns_clone; ", "", "", 1, "userns", "wrong", []string{"sysctl kernel.unprivileged_userns_clone=1"}},
		{"none by AppArmor", "", sysctl + "echo 1 >/proc/sys/kernel/apparmor_restrict_unprivileged_userns; ", "", "", 1, "userns", "wrong", []string{"sysctl kernel.apparmor_restrict_unprivileged_userns=0"}},
		{"hidden processes", "--pid --fork", fmt.Sprintf(newProc, "hidepid=2"), "", "", 0, "hidepid", "ok", []string{"hidepid=", "CAP_SYS_PTRACE"}},
		{"hidden from us", "--pid --fork", fmt.Sprintf(newProc, "hidepid=2"), "setpriv --bounding-set -sys_ptrace", "", 1, "hidepid", "wrong", []string{"no CAP_SYS_PTRACE", "remount,hidepid=0"}},
		{"half a procfs", "--pid --fork", fmt.Sprintf(newProc, "subset=pid"), "", "", 1, "hidepid", "wrong", []string{"subset=pid", "ProcSubset=all"}},
		{"no rights", "", "", "setpriv --bounding-set -setuid,-dac_read_search", "", 1, "capabilities", "wrong", []string{"CAP_SETUID", "CAP_DAC_READ_SEARCH", "--cap-add"}},
		{"SELinux", "", "mount -t tmpfs tmpfs /sys; mkdir -p /sys/fs/selinux; echo 1 >/sys/fs/selinux/enforce; ", "", "", 0, "selinux", "look", []string{"ausearch -m avc"}},
		{"AppArmor", "", "mount -t tmpfs tmpfs /sys; mkdir -p /sys/module/apparmor/parameters /sys/kernel/security/apparmor; echo Y >/sys/module/apparmor/parameters/enabled; echo '/usr/sbin/procsrv (enforce)' >/sys/kernel/security/apparmor/profiles; ", "", "", 0, "apparmor", "look", []string{"aa-complain"}},
		{"few descriptors", "", "ulimit -n 200; ", "", "--config " + config, 1, "limits", "wrong", []string{"200 file descriptors are allowed", "LimitNOFILE=1025"}},
		{"no configuration", "", "", "", "--config " + dir + "/none.yaml", 1, "configuration", "wrong", []string{"no such file"}},
		{"a key for all", "", "", "", tls("open"), 1, "certificate", "wrong", []string{"chmod 600"}},
		{"no certificate", "", "", "", tls("none"), 1, "certificate", "wrong", []string{"no such file"}},
		{"one that has ended", "", "", "", tls("ended"), 1, "certificate", "wrong", []string{"has ended on", "renew it"}},
		{"one to come", "", "", "", tls("early"), 1, "certificate", "wrong", []string{"is not good before", "clock"}},
		{"one that ends", "", "", "", tls("ending"), 1, "certificate", "wrong", []string{"ends on", "renew it"}},
		{"of another name", "", "", "", tls("good") + "2", 1, "certificate", "wrong", []string{`is for "n1" and not for "n12"`, "aggrfs certs issue n12"}},
		{"a user", "", "", "setpriv --reuid 1001 --regid 1001 --clear-groups", tls("good"), 3, "certificate", "unknown", []string{"permission denied"}},
		{"of another CA", "", "", "", strings.Replace(tls("good"), "/ca/ca.crt", "/other/ca.crt", 1), 1, "certificate", "wrong", []string{"signed by that CA"}},
		{"a port in use", "--net", "ip link set lo up; " + listens(`socket.create_server(("127.0.0.1",5640))`), "", "--listen tls:0.0.0.0:5640", 1, "address", "wrong", []string{"tls:0.0.0.0:5640 is in use by python3", "stop that"}},
		{"a free port", "--net", "ip link set lo up; " + listens(`socket.create_server(("127.0.0.1",5640))`), "", "--listen tls:127.0.0.1:5641", 0, "address", "ok", []string{"is free"}},
		{"a socket in use", "", listens(`socket.socket(socket.AF_UNIX); s.bind("` + dir + `/x.sock")`), "", "--listen unix:" + dir + "/x.sock", 1, "address", "wrong", []string{"is in use by python3"}},
		{"no socket", "", "", "", "--listen unix:" + config, 1, "address", "wrong", []string{"is no socket", "remove it"}},
		{"a server of ours", "", fmt.Sprintf("%s/procsrv --listen unix:%s/ours.sock 2>%[2]s/log & p=$!; trap 'kill $p; wait $p' EXIT; while ! [ -S %[2]s/ours.sock ]; do kill -0 $p || exit 9; sleep 0.02; done; ", bin, dir), "", "--listen unix:" + dir + "/ours.sock", 0, "address", "ok", []string{"is served by procsrv (pid "}},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "-"), func(t *testing.T) {
			script := fmt.Sprintf("set -e; mount --bind %s /dev/fuse; %s set +e; %s %s/aggrfs doctor %s", device, tc.script, tc.prefix, bin, tc.args)
			argv := append([]string{"--mount", "--propagation", "private"}, strings.Fields(tc.unshare)...)
			got := end(t, exec.CommandContext(t.Context(), "unshare", append(argv, "bash", "-c", script)...))
			part, there := statusOf(t, got.out)[tc.check]
			if got.status != tc.status || !there || part.State != tc.state {
				t.Fatalf("%s is %q, and the exit status %d, want %s and %d\n%s%s", tc.check, part.State, got.status, tc.state, tc.status, got.out, got.stderr)
			}
			for _, text := range tc.says {
				if !strings.Contains(part.Detail, text) {
					t.Errorf("it does not say %q: %s", text, part.Detail)
				}
			}
		})
	}
}
