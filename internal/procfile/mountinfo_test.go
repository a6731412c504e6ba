package procfile

import (
	"slices"
	"strconv"
	"testing"
)

// The mounts of this machine's processes are what the field's parser says.
func TestMountsAgreeWithPrometheus(t *testing.T) {
	fs, files := written(t)
	compared := 0
	for pid, of := range files {
		if len(of["mountinfo"]) == 0 {
			continue
		}
		n, _ := strconv.Atoi(pid)
		want, err := fs.GetProcMounts(n)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.Collect(Mounts(of["mountinfo"]))
		if len(got) != len(want) {
			t.Fatalf("%d mounts, want %d", len(got), len(want))
		}
		for i, m := range got {
			w := want[i]
			if m.ID != strconv.Itoa(w.MountID) || m.Device != w.MajorMinorVer || m.FSType != w.FSType {
				t.Errorf("%+v, want %+v", m, w)
			}
			if hide := w.SuperOptions["hidepid"]; w.FSType == "proc" && ParseOptions(m.Options).HidePID != hidePIDs[hide] {
				t.Errorf("%+v, want hidepid %q", m, hide)
			}
		}
		compared++
	}
	if compared == 0 {
		t.Error("no process has mounts")
	}
}

func TestOddMounts(t *testing.T) {
	const text = `36 27 0:46 / /empty rw -  fuse  rw,user_id=0
22 27 0:21 / /a\040b rw,relatime shared:1 master:2 - proc proc rw,hidepid=2
a line that is none
44 27 0:54 / /short rw
45 27 0:54 / /shorter rw - proc
`
	got := slices.Collect(Mounts([]byte(text)))
	want := []Mount{{"36", "0:46", "/empty", "fuse", "rw,user_id=0"}, {"22", "0:21", "/a b", "proc", "rw,hidepid=2"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
