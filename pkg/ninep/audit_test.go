package ninep

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/vfstest"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// TestAudit has a line for each attach and each refusal, and what it says.
func TestAudit(t *testing.T) {
	tree := vfstest.NewTree()
	tree.Allow(func(who vfs.Identity) error {
		if who.UID == 3_999_999 {
			return syscall.EACCES
		}
		return nil
	})
	lines := new(logLines)
	r := newRig(t, tree, func(cfg *ServerConfig) {
		cfg.Identify = ByCredentials
		cfg.Audit = lines.all()
	})
	c := r.client(r.dial(), ClientConfig{})
	for _, k := range []call{
		{uname: "@100:7,8", newfid: 1001},
		{uname: "", newfid: 3_999_999, aname: "x=\ny"},
		{uname: "eve\x1b[31m\u202e\"", newfid: vfs.OverflowID, aname: "a"},
		{uname: "@" + strings.Repeat("1", 60000), newfid: 5},
	} {
		k.typ = tAttach
		c.attach(within(t), k)
	}
	peer := `time=\S+ level=%s msg="9P attach%s" peer="unix pid \d+ uid 0" `
	for i, want := range []string{
		fmt.Sprintf(peer, "INFO", "") + `uid=1001 gid=100 groups=2 cert="" uname="\\"@100:7,8\\"" n_uname=1001 aname=""`,
		fmt.Sprintf(peer, "WARN", " refused") + `uid=3999999 gid=65534 groups=0 cert="" uname="\\"\\"" n_uname=3999999 aname="x=\\ny" error="permission denied"`,
		fmt.Sprintf(peer, "WARN", " refused") + `cert="" uname="\\"eve\\\\x1b\[31m\\\\u202e\\\\\\"\\"" n_uname=65534 aname=a error="[^"]*nobody[^"]*"`,
		fmt.Sprintf(peer, "WARN", " refused") + `cert="" uname="\\"@1{127}\\" and 59873 bytes" n_uname=5 aname="" error=".*"`,
	} {
		got := lines.lines()
		if len(got) != 4 || !regexp.MustCompile("^"+want+"$").MatchString(got[i]) {
			t.Errorf("line %d of %d:\n%s\nwant\n%s", i, len(got), got[i], want)
		}
	}
	if got := r.log.lines(); len(got) > 0 {
		t.Errorf("in the other log: %q", got)
	}
}

// TestAuditFlood is refused more often than anybody wants to read.
func TestAuditFlood(t *testing.T) {
	lines, log := newLog()
	a := audit{log: log, window: time.Hour}
	counts := func(what string) (n int) {
		for _, line := range lines.lines() {
			if strings.Contains(line, what) {
				n++
			}
		}
		return n
	}
	refuse := func(uid uint32, addr string) {
		a.attach(Peer{Network: "unix", Addr: addr, HasCred: addr == "", UID: uid, PID: int32(uid)}, &request{}, nil, syscall.EPERM)
	}
	var work sync.WaitGroup
	for range 50 {
		work.Go(func() {
			for range 20 {
				refuse(7, "")
			}
		})
	}
	work.Wait()
	for i := range 12 {
		refuse(0, fmt.Sprintf("10.0.0.1:%d", i)) // each time from another port
		refuse(0, fmt.Sprintf("[fd00::%d]:1", i))
	}
	if n, m, k := counts("uid 7"), counts("10.0.0.1"), counts("fd00"); n != 10 || m != 10 || k != 12 {
		t.Errorf("%d, %d and %d lines", n, m, k)
	}
	a.turn()
	if n, m := counts("uid 7\" count=990"), counts("10.0.0.1\" count=2"); n != 1 || m != 1 || counts("not logged") != 2 {
		t.Errorf("the others are not told of: %q", lines.lines()[len(lines.lines())-2:])
	}
	a.turn()
	refuse(7, "")
	if n := counts("uid 7"); n != 12 { // 10, the count, 1
		t.Errorf("%d lines in the next window", n)
	}
	for i := range 2 * maxOrigins {
		refuse(0, fmt.Sprintf("h%d:1", i))
	}
	if len(a.refused) > maxOrigins+1 {
		t.Errorf("%d origins are told apart", len(a.refused))
	}
	a.turn()
}

// TestAuditWindow: the count comes by itself, and at the latest when the server
// ends.
func TestAuditWindow(t *testing.T) {
	for name, window := range map[string]time.Duration{"in time": time.Millisecond, "at the end": time.Hour} {
		t.Run(name, func(t *testing.T) {
			var r *rig
			counted := func() bool { return strings.Contains(strings.Join(r.log.lines(), ""), "not logged") }
			t.Cleanup(func() { // when the rig has ended
				if !counted() {
					t.Errorf("no count: %q", r.log.lines())
				}
			})
			r = newRig(t, vfstest.NewTree(), byTrust(Trust{}))
			r.audit.window = window
			c := r.client(r.dial(), ClientConfig{})
			for range 1000 {
				if _, err := c.Attach(within(t), vfs.Identity{UID: vfs.OverflowID}, ""); err != syscall.EPERM {
					t.Fatal(err)
				}
			}
			if window < time.Second {
				eventually(t, "the count", counted)
			}
		})
	}
}
