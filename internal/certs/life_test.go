package certs

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/wait"
)

// A certificate comes near its end while nothing asks for it, and is warned of once.
func TestFollow(t *testing.T) {
	ca, dir, now := newCA(t), t.TempDir(), time.Now()
	// Soon in a second: certificates have whole ones.
	c, k, err := ca.Sign("n1", now.Add(-time.Hour), now.Add(Soon+2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(dir+"/c", c, 0o600)
	os.WriteFile(dir+"/k", k, 0o600)
	lines, log := newLog()
	s, err := Open(Files{dir + "/c", dir + "/k", ca.path("ca.crt")}, log)
	if err != nil {
		t.Fatal(err)
	}
	if got := lines.take(); got != "" || s.State().Name != "n1" || !s.State().CAUntil.Equal(ca.Until()) {
		t.Errorf("%q, %+v", got, s.State())
	}
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); s.Follow(ctx, time.Millisecond) }()
	var told string
	wait.Until(t, "it is warned of", func() bool { told += lines.take(); return strings.Contains(told, "ends soon") })
	stop()
	<-over
	if s.Current(); strings.Count(told+lines.take(), "ends soon") != 1 {
		t.Errorf("logged %q", told)
	}
	if is := LifeOf(s.State().From, s.State().Until, time.Now()); is != Ending {
		t.Errorf("it is %s", is)
	}
}
