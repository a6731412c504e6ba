package mount

import (
	"runtime"
	"testing"
)

func TestOneCPU(t *testing.T) {
	if thisCPU() == nil && runtime.NumCPU() > 1 {
		t.Fatal("the CPU of this thread is not known")
	}
	yes, no := true, false
	for _, test := range []struct {
		oneCPU     *bool
		command    string
		prefetched bool
		one        bool
	}{
		{nil, "ps", false, true},
		{nil, "/usr/bin/top", false, true},
		{nil, "bash", false, false},
		{nil, "bash", true, true},
		{&yes, "bash", false, true},
		{&no, "ps", false, false},
		{&no, "bash", true, false},
	} {
		one := ExecOptions{Prefetched: test.prefetched, OneCPU: test.oneCPU}.cpus([]string{test.command})
		if test.one && runtime.NumCPU() > 1 && (one == nil || one.Count() != 1) || !test.one && one != nil {
			t.Errorf("%v: %v", test, one)
		}
	}
}
