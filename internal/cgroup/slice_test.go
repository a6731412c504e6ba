package cgroup

import (
	"strings"
	"testing"
)

func TestAppendSlice(t *testing.T) {
	for name, want := range map[string]string{
		"n1": "n1.slice", "gpu-1": "gpu-1.slice", "a.b.example": "a.b.example.slice", "_": "__.slice",
		"user-1001": "user-1001.slice", "n-": "n-.slice", "a@b/c": `a\x40b\x2fc.slice`, ".a": `\x2ea.slice`,
		strings.Repeat("n", 247): strings.Repeat("n", 247) + ".slice",
	} {
		got := string(AppendSlice(nil, name))
		if got != want || !isSlice(got) {
			t.Errorf("%q: %q, want %q, a slice: %v", name, got, want, isSlice(got))
		}
	}
}

// Below a node's slice the whole corpus reads as it did, but for the jobs and containers
// that count from the root: those are read where the path is as it came.
func TestBelowReadsTheSame(t *testing.T) {
	systemd := func(p Place) Place {
		return Place{Slice: p.Slice, Unit: p.Unit, UserUnit: p.UserUnit, Session: p.Session, OwnerUID: p.OwnerUID, HasOwner: p.HasOwner, UserJob: p.UserJob}
	}
	for _, r := range corpus(t) {
		for _, node := range []string{"n1", "user-1001", "gpu-1", "_"} {
			var below []byte
			slice := string(AppendSlice(nil, node))
			for line := range strings.Lines(r.text) {
				below = append(AppendBelow(below, slice, []byte(strings.TrimSuffix(line, "\n"))), '\n')
			}
			if got, want := systemd(Parse(below)), systemd(Parse([]byte(r.text))); got != want {
				t.Errorf("testdata/corpus.txt:%d: below %s\n%sgot  %s\nwant %s", r.line, slice, below, fields(got), fields(want))
			}
		}
	}
}
