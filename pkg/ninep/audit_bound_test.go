package ninep

import (
	"fmt"

	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/wait"
)

// boundedAudit has a clock that stands still, see its now.
func boundedAudit() (*audit, *logLines, *time.Time) {
	lines, now := new(logLines), time.Unix(1_000_000, 0)
	a := newAudit(lines.all())
	a.window = 24 * time.Hour // rung by the tests
	a.now = func() time.Time { return now }
	return a, lines, &now
}

// told is how many lines there are that say what happened, and how much they and the
// counts say that was.
func told(lines []string) (n, all int) {
	for _, line := range lines {
		one := 1
		if _, count, ok := strings.Cut(line, " count="); ok {
			one, _ = strconv.Atoi(count)
		}
		all += one
		if !strings.Contains(line, "not logged") {
			n++
		}
	}
	return n, all
}

// TestLinesOfOne: who has many addresses or many numbers gets as many lines as who has
// one, and all that was caused is counted.
func TestLinesOfOne(t *testing.T) {
	r := newRig(t, vfstest.NewTree(), func(cfg *ServerConfig) {
		cfg.Payer = func(uid uint32) (uint32, bool) {
			if uid >= 100000 && uid < 165536 { // subordinate to him
				return 3001, true
			}
			return uid, uid < 4000
		}
	})
	addr := func(base string, i int) Peer {
		a := netip.MustParseAddr(base).As16()
		a[14], a[15] = byte(i>>8), byte(i)
		at := netip.AddrFrom16(a).Unmap()
		return Peer{Network: "tls", Addr: netip.AddrPortFrom(at, 1).String()}
	}
	user := func(uid int) Peer { return Peer{Network: "unix", HasCred: true, UID: uint32(uid), PID: 7} }
	const n = 65536
	for name, c := range map[string]struct {
		peer func(i int) Peer
		want int
	}{
		"a peer":              {func(int) Peer { return addr("fd00::", 1) }, 10},
		"a /64":               {func(i int) Peer { return addr("fd00::", i) }, 10},
		"a /24":               {func(i int) Peer { return addr("::ffff:10.0.0.0", i%256) }, 10},
		"the /64s of a /48":   {func(i int) Peer { return Peer{Network: "tls", Addr: fmt.Sprintf("[fd00:0:0:%x::1]:1", i)} }, 40},
		"the /24s of a /16":   {func(i int) Peer { return addr("::ffff:10.0.0.0", i) }, 40},
		"subordinates":        {func(i int) Peer { return user(100000 + i) }, 10},
		"users without names": {func(i int) Peer { return user(1000000 + i) }, 10},
	} {
		t.Run(name, func(t *testing.T) {
			a, lines, _ := boundedAudit()
			for i := range n {
				p := c.peer(i)
				var payer *account
				if p.HasCred {
					payer = r.payerOf(p)
				}
				a.refuse(p, payer, fmt.Errorf("reason %d", i)) // each time another
			}
			a.turn()
			if got, all := told(lines.lines()); got != c.want || all != n {
				t.Errorf("%d lines that tell of %d", got, all)
			}
		})
	}
}

// TestLinesOfAll: the whole world, for a day, does not fill a disk; nothing that is held for
// it grows; and there is room for root meanwhile, and for others afterwards.
func TestLinesOfAll(t *testing.T) {
	a, lines, now := boundedAudit()
	caused := 0
	cause := func(p Peer) {
		a.refuse(p, nil, syscall.EPERM)
		caused++
	}
	const day = 24 * 60
	for minute := range day {
		for i := range 300 {
			cause(Peer{Network: "tls", Addr: fmt.Sprintf("%d.%d.%d.1:1", 1+i%200, minute%256, i%256)})
		}
		*now = now.Add(time.Minute)
		a.ring()
		if len(a.origins) > maxOrigins+2 {
			t.Fatalf("%d origins are told apart", len(a.origins))
		}
	}
	root := Peer{Network: "unix", HasCred: true, PID: 1}
	for i := range 100 {
		a.attach(root, nil, &request{aname: fmt.Sprint(i)}, nil, syscall.EPERM, new(attachMemo))
	}
	caused += 100
	a.turn()
	got := lines.lines()
	if n, all := told(got); all != caused || n > 1024+24*60*60+100 {
		t.Errorf("%d lines tell of %d, not %d", n, all, caused)
	}
	if n := strings.Count(strings.Join(got, "\n"), "uid 0"); n != 100 {
		t.Errorf("%d lines of root", n)
	}
	*now = now.Add(time.Hour)
	if a.ring(); a.origins != nil {
		t.Errorf("%d origins an hour later", len(a.origins))
	}
}

// TestLinesForLong: one who goes on for a day has ten lines and then six a minute, and a
// count at most once in sixty windows.
func TestLinesForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := new(logLines)
		a := newAudit(lines.all())
		p := Peer{Network: "tcp", Addr: "10.0.0.1:1"}
		const hour = 3600
		for i := range hour {
			for k := range 20 {
				a.refuse(p, nil, fmt.Errorf("reason %d %d", i, k))
			}
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := lines.lines()
		n, all := told(got)
		if counts := len(got) - n; n > 10+hour/10+1 || all != 20*hour || counts > hour/60+2 {
			t.Errorf("%d lines and %d counts tell of %d", n, counts, all)
		}
	})
}

// TestErrorsOfConnections: frames that no client sends end connections, and are lines
// of the audit as refusals are.
func TestErrorsOfConnections(t *testing.T) {
	r := newRig(t, vfstest.NewTree(), nil)
	r.audit.mu.Lock()
	r.audit.window = time.Hour
	r.audit.mu.Unlock()
	const n = 200
	for range n {
		conn := r.dial()
		conn.SetDeadline(time.Now().Add(patience))
		conn.Write([]byte{3, 0, 0, 0, 0, 0, 0})
		conn.Read(make([]byte, 1))
		conn.Close()
	}
	wait.Until(t, "they have ended", func() bool { return r.conns.Load() == 0 })
	if early := r.log.lines(); len(early) > 0 {
		t.Errorf("%d lines while the window is open", len(early))
	}
	if got := r.lines(); len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf("count=%d", n)) {
		t.Errorf("logged: %q", got)
	}
}

// TestLongTexts: no text of a client makes a long line.
func TestLongTexts(t *testing.T) {
	r := newRig(t, vfstest.NewTree(), func(cfg *ServerConfig) { cfg.Identify = byNothing })
	c := r.client(r.dial(), ClientConfig{})
	for _, text := range []string{strings.Repeat("\n", 4000), strings.Repeat("\x01", 4000), strings.Repeat("\u202e\"", 1000)} {
		c.attach(within(t), call{typ: tAttach, uname: text, aname: text, newfid: 5})
	}
	got := r.lines()
	if len(got) != 3 {
		t.Fatalf("%d lines: %.300q", len(got), got)
	}
	for _, line := range got {
		if len(line) > 4096 || !regexp.MustCompile(`aname=.* bytes"`).MatchString(line) {
			t.Errorf("%d bytes: %.200s", len(line), line)
		}
	}
}

// byNothing refuses everybody, with all that they say.
func byNothing(_ Peer, claim Claim) (who vfs.Identity, err error) {
	return who, fmt.Errorf("%w: %s %s", syscall.EPERM, claim.Uname, claim.Aname)
}
