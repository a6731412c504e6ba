package ps

import (
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// Lines are cut where the screen ends, between characters, of which some take two cells or none.
func TestCut(t *testing.T) {
	for _, tc := range []struct {
		width      int
		line, want string
	}{
		{0, "abcdef\n", "abcdef\n"},
		{6, "abcdef\n", "abcdef\n"},
		{5, "abcdef\n", "abcde\n"},
		{3, "äöüß\n", "äöü\n"},
		{4, "a漢字\n", "a漢\n"},
		{5, "a漢字\n", "a漢字\n"},
		{3, "e\u0301e\u0301ef\n", "e\u0301e\u0301e\n"},
	} {
		if got := string(screen{width: tc.width}.cut([]byte("before\n"+tc.line), len("before\n"))); got != "before\n"+tc.want {
			t.Errorf("%q at %d: %q", tc.line, tc.width, got)
		}
	}
}

// How long ago is written as ps(1) does.
func TestElapsed(t *testing.T) {
	c, err := columnOf("etime")
	if err != nil {
		t.Fatal(err)
	}
	for ago, want := range map[time.Duration]string{
		-time.Minute: "00:00", 61 * time.Second: "01:01", 3600 * time.Second: "01:00:00", 25*time.Hour + time.Second: "1-01:00:01",
	} {
		if got := string(c.Append(nil, &report.Process{Start: time.Now().Add(-ago - time.Millisecond)})); got != want {
			t.Errorf("%v ago is %s, want %s", ago, got, want)
		}
	}
}
