package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/requester"
)

// TestReadFrames reads frames of top that come in pieces, each without its last end of line.
func TestReadFrames(t *testing.T) {
	r, w := io.Pipe()
	const pause = 20 * time.Millisecond
	go func() {
		defer w.Close()
		for i, piece := range []string{
			"top - 1\nTasks: 2\n\n    PID USER\n     12 a\n4200", "000 b", "\n\ntop - 2\n", "  4200000 a top - 3\n  4200000 b",
			"\n\ntop - 3\n\n  7 x\n",
		} {
			if i > 0 {
				time.Sleep(pause)
			}
			io.WriteString(w, piece)
		}
	}()
	start := time.Now()
	frames, err := readFrames(r, start)
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for _, f := range frames {
		sum += f.took
	}
	if got, most := sum+(topFrames-1)*topDelay, time.Since(start); got < 4*pause || got > most {
		t.Errorf("the frames have taken %v of %v", got, most)
	}
	if frames[0].took < pause || frames[1].took < 2*pause-topDelay || frames[2].took < pause-topDelay {
		t.Errorf("they have taken %v, %v, %v", frames[0].took, frames[1].took, frames[2].took)
	}
	for i, want := range []rows{{12: 1, 4200000: 1}, {4200000: 2}, {7: 1}} {
		got := frames[i].rows
		if len(got) != len(want) {
			t.Errorf("frame %d has %v", i+1, got)
		}
		for pid, n := range want {
			if got[pid] != n {
				t.Errorf("frame %d has %d %d times, not %d", i+1, pid, got[pid], n)
			}
		}
	}
	if _, err := readFrames(strings.NewReader("top - 1\n"), start); err == nil {
		t.Error("one frame was enough")
	}
	if _, err := readFrames(strings.NewReader("no"), start); err == nil {
		t.Error("it need not be top's")
	}
}

// TestCompare compares listings with what must be in them.
func TestCompare(t *testing.T) {
	want := places{firstGlobal + 1: {"n1", 1}, firstGlobal + 2: {"n1", 2}}
	var programs requester.Programs
	for _, c := range []struct {
		text   string
		closed bool
		who    requester.Requester
		want   verdict
	}{
		{"    PID USER\n4194305 a\n  4194306 b\n", true, programs.Root(), verdict{wanted: 2}},
		{"4194305 a\n4194305 a\n", true, programs.Root(), verdict{wanted: 2, missing: 1, double: 1}},
		{"4194305 a\n4194306 b\n4194307 c\n1 init\n", true, programs.Root(), verdict{wanted: 2, strange: 1}},
		{"4194305 a\n4194306 b\n4194307 c\n4194307 c\n", false, programs.Root(), verdict{wanted: 2, double: 1}},
		{"4194305 a\n4194306 b\n1 init\n", true, programs.User(), verdict{wanted: 2, strange: 1}},
	} {
		r, err := readRows(strings.NewReader(c.text))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.compare(want, c.closed, c.who); got != c.want {
			t.Errorf("%q: %+v, want %+v", c.text, got, c.want)
		}
	}
}

// TestRowsOf counts rows of aggrfs ps.
func TestRowsOf(t *testing.T) {
	out := "USER PID PPID NODE NPID\nroot 1 0 head 1\nroot 42 0 n0001 1 x\nroot 43 0 n0002 1\n"
	if others, theirs := rowsOf([]byte(out), []string{"n0001"}); others != 2 || theirs != 1 {
		t.Errorf("%d, %d", others, theirs)
	}
}
