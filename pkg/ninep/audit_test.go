package ninep

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
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
	r.audit.turn()
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

// TestAuditFlood: what is the same is one line with a count, and of what is not there
// are some lines and a count of the others. Nothing is lost.
func TestAuditFlood(t *testing.T) {
	lines := new(logLines)
	a := newAudit(lines.all())
	a.window = time.Hour
	counts := func(what string) (n int) {
		for _, line := range lines.lines() {
			if strings.Contains(line, what) {
				n++
			}
		}
		return n
	}
	attach := func(uid uint32, addr, aname string, err error) {
		a.attach(Peer{Network: "unix", Addr: addr, HasCred: addr == "", UID: uid, PID: int32(uid)}, nil, &request{aname: aname}, nil, err, nil)
	}
	var work sync.WaitGroup
	for range 50 {
		work.Go(func() {
			for range 20 {
				attach(7, "", "", syscall.EPERM)
				attach(7, "", "", nil)
			}
		})
	}
	work.Wait()
	for i := range 12 {
		attach(0, fmt.Sprintf("10.0.0.1:%d", i), "", syscall.EPERM) // each time from another port
		attach(0, fmt.Sprintf("[fd00::%d]:1", i), "", syscall.EPERM)
		attach(8, "", fmt.Sprint("refused ", i), syscall.EPERM)
		attach(9, "", fmt.Sprint("let in ", i), nil)
	}
	if got := lines.lines(); len(got) > 0 {
		t.Errorf("before the window ends: %q", got)
	}
	a.turn()
	for what, want := range map[string]int{
		`attach refused" peer="unix pid 7 uid 7"`: 1, `attach" peer="unix pid 7 uid 7"`: 1, `error="operation not permitted" count=1000`: 1, `aname="" count=1000`: 1,
		"10.0.0.1": 1, `error="operation not permitted" count=12`: 1, `"unix [fd00`: 10, `peer="unix fd00::/64" what="9P attach refused" count=2`: 1,
		`aname="refused`: 10, `warnings not logged" peer="unix uid 8" what="9P attach refused" count=2`: 1,
		`aname="let in`: 10, `INFO msg="9P attaches not logged" peer="unix uid 9" what="9P attach" count=2`: 1, "not logged": 3,
	} {
		if got := counts(what); got != want {
			t.Errorf("%s: %d lines, not %d: %q", what, got, want, lines.lines())
		}
	}
	attach(7, "", "", syscall.EPERM)
	a.turn()
	if n := counts("uid 7"); n != 3 {
		t.Errorf("%d lines after the next window", n)
	}
	a.now = func() time.Time { return time.Now().Add(time.Hour) }
	if a.ring(); a.lines != nil || a.order != nil || a.origins != nil {
		t.Error("it holds something at rest")
	}
}

// TestAuditProbe: a trusted peer that attaches again on one connection, to see whether
// the server is well, is no news, however long that goes on; anything new is.
func TestAuditProbe(t *testing.T) {
	lines := new(logLines)
	r := newRig(t, vfstest.NewTree(), func(cfg *ServerConfig) {
		cfg.Identify = ByCredentials
		cfg.Audit = lines.all()
	})
	probe := func(c *Client, who vfs.Identity) {
		t.Helper()
		if _, err := c.Attach(within(t), who, ""); err != nil {
			t.Fatal(err)
		}
	}
	c := r.client(r.dial(), ClientConfig{})
	for range 3 {
		for range 3 {
			probe(c, vfs.Root)
		}
		r.audit.turn()
	}
	if got := lines.lines(); len(got) != 1 || !strings.Contains(got[0], "count=3") {
		t.Errorf("logged: %q", got)
	}
	probe(c, vfs.Identity{UID: 1001})
	probe(r.client(r.dial(), ClientConfig{}), vfs.Root)
	r.audit.turn()
	if got := lines.lines(); len(got) != 3 {
		t.Errorf("logged: %q", got)
	}
}

// TestAuditWindow: the line comes by itself, and at the latest when the server ends.
func TestAuditWindow(t *testing.T) {
	for name, window := range map[string]time.Duration{"in time": time.Millisecond, "at the end": time.Hour} {
		t.Run(name, func(t *testing.T) {
			var r *rig
			counted := func() bool {
				n := 0
				for _, line := range r.log.lines() {
					one := 1
					if _, count, ok := strings.Cut(line, " count="); ok {
						one, _ = strconv.Atoi(count)
					}
					n += one
				}
				return n == 1000
			}
			t.Cleanup(func() { // when the rig has ended
				if !counted() {
					t.Errorf("no count: %q", r.log.lines())
				}
			})
			r = newRig(t, vfstest.NewTree(), byTrust(Trust{}))
			r.audit.mu.Lock()
			r.audit.window = window
			r.audit.mu.Unlock()
			c := r.client(r.dial(), ClientConfig{})
			for range 1000 {
				if _, err := c.Attach(within(t), vfs.Identity{UID: vfs.OverflowID}, ""); err != syscall.EPERM {
					t.Fatal(err)
				}
			}
			if window < time.Second {
				wait.Until(t, "the count", counted)
			}
		})
	}
}
