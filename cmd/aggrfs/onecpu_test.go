package main

import (
	"runtime"
	"testing"

	"github.com/spf13/cobra"
)

func TestOneCPU(t *testing.T) {
	if thisCPU() == nil && runtime.NumCPU() > 1 {
		t.Fatal("the CPU of this thread is not known")
	}
	for _, test := range []struct {
		flags      []string
		command    string
		prefetched bool
		one        bool
	}{
		{nil, "ps", false, true},
		{nil, "/usr/bin/top", false, true},
		{nil, "bash", false, false},
		{nil, "bash", true, true},
		{[]string{"--one-cpu"}, "bash", false, true},
		{[]string{"--one-cpu=false"}, "ps", false, false},
		{[]string{"--one-cpu=false"}, "bash", true, false},
	} {
		var f cpuFlag
		cmd := &cobra.Command{}
		f.add(cmd)
		if err := cmd.ParseFlags(test.flags); err != nil {
			t.Fatal(err)
		}
		one := f.choose([]string{test.command}, test.prefetched)
		if test.one && runtime.NumCPU() > 1 && (one == nil || one.Count() != 1) || !test.one && one != nil {
			t.Errorf("%v: %v", test, one)
		}
	}
}
