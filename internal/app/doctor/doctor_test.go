package doctor

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/certs"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// The clock is the machine's alone and is not changed: what the kernel says of it is made up.
func TestClock(t *testing.T) {
	for _, tc := range []struct {
		state  int
		status int32
		err    error
		want   string
	}{
		{unix.TIME_OK, 0, nil, report.OK},
		{unix.TIME_ERROR, 0, nil, look},
		{unix.TIME_OK, unix.STA_UNSYNC, nil, look},
		{0, 0, unix.EPERM, unknown},
	} {
		m := machine{now: time.Now, adjtimex: func(tx *unix.Timex) (int, error) {
			tx.Status = tc.status
			return tc.state, tc.err
		}}
		if got := m.clock(); got.State != tc.want || tc.want == look && !strings.Contains(got.Detail, "chrony") {
			t.Errorf("%+v: %+v", tc, got)
		}
	}
}

// A CA that is near its end is wrong, whatever it has signed.
func TestEndingCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := certs.Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Issue("n1", 3600); err != nil {
		t.Fatal(err)
	}
	files := certs.Files{Cert: dir + "/n1.crt", Key: dir + "/n1.key", CA: dir + "/ca.crt"}
	for days, want := range map[int]string{0: "ok ok", 3590: "wrong ok", 3645: "wrong wrong", 3660: "wrong wrong"} {
		m := machine{now: func() time.Time { return time.Now().AddDate(0, 0, days) }}
		lines := m.certificates(files, "n1")
		if got := lines[0].State + " " + lines[1].State; got != want || lines[1].State == wrong && !strings.Contains(lines[1].Detail, "put a new CA beside it") {
			t.Errorf("after %d days: %+v, want %s", days, lines, want)
		}
	}
}

// What is wrong counts more than what is not known, and what only deserves a look not at all.
func TestResult(t *testing.T) {
	for _, tc := range []struct {
		states string
		want   int
	}{{"ok look", 0}, {"ok wrong unknown", exit.Failed}, {"unknown ok", exit.Unknown}, {"", 0}} {
		var lines []report.Part
		for _, s := range strings.Fields(tc.states) {
			lines = append(lines, report.Part{State: s})
		}
		if err := result(lines); exit.Status(err) != tc.want || errors.Is(err, nil) != (tc.want == 0) {
			t.Errorf("%s: %v", tc.states, err)
		}
	}
}
