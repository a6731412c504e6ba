package command

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inner is the variable of the environment that has a Spec for this program to run
// as another user.
const inner = "AGGRFS_COMMAND_TEST"

func runInner(text string) {
	var s Spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		panic(err)
	}
	out, err := Run(context.Background(), s)
	fmt.Printf("%s%v\n", out.Stdout, err)
	os.Exit(0)
}

// openDir is a temporary directory that every user can go to.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A daemon that is not root's, with no more capabilities than its unit file gives it and
// no_new_privs, runs commands as other users with CAP_SETUID and CAP_SETGID, and as
// itself without; the command has none of them, and nothing of it is left.
func TestUnprivilegedDaemon(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t)
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	mark := fmt.Sprintf("8125.%d", os.Getpid())
	script := "grep -E '^(Uid|Gid|Groups|Cap|NoNew)' /proc/self/status | tr '\\t' ' '; setsid sh -c '(sleep " + mark + " &) ; sleep " + mark + "' >/dev/null 2>&1 & sleep 0.3"
	none := "CapInh: 0000000000000000\nCapPrm: 0000000000000000\nCapEff: 0000000000000000\n"
	for _, tc := range []struct {
		caps string
		who  *User
		want []string
	}{
		{"setuid,+setgid,+sys_ptrace,+dac_read_search", slurm, []string{"Uid: 64031 64031 64031 64031\nGid: 64032 64032 64032 64032\nGroups: 64033 64034 \n", none, "CapAmb: 0000000000000000\nNoNewPrivs: 1\n<nil>"}},
		{"setuid,+setgid,+sys_ptrace,+dac_read_search", nil, []string{"Uid: 4242 4242 4242 4242\nGid: 4242 4242 4242 4242\n", none, "CapAmb: 0000000000000000\nNoNewPrivs: 1\n<nil>"}},
		{"", nil, []string{"Uid: 4242 4242 4242 4242\n", none, "<nil>"}},
		{"", slurm, []string{"aggrfs runs as uid 4242 and may not become uid 64031 for it: give it CAP_SETUID and CAP_SETGID"}},
		{"setuid,+setgid", &User{}, []string{"may not run as root"}},
	} {
		spec, err := json.Marshal(sh(script, tc.who))
		if err != nil {
			t.Fatal(err)
		}
		argv := []string{"--reuid=4242", "--regid=4242", "--clear-groups", "--no-new-privs"}
		if tc.caps != "" {
			argv = append(argv, "--inh-caps=-all,+"+tc.caps, "--ambient-caps=-all,+"+tc.caps, "--bounding-set=-all,+"+tc.caps)
		}
		cmd := exec.Command("setpriv", append(argv, program)...)
		cmd.Env = append(os.Environ(), inner+"="+string(spec))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v\n%s", argv, err, out)
		}
		for _, want := range tc.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("with %q as %v there is no %q in\n%s", tc.caps, tc.who, want, out)
			}
		}
		if alive(t, mark) {
			t.Errorf("with %q as %v something is left", tc.caps, tc.who)
		}
	}
}
