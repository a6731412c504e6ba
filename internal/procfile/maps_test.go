package procfile

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Files that are mapped have another device on each machine, the same for the same device; all else
// is as it was, and so is all on the reader's machine.
func TestRewriteMaps(t *testing.T) {
	own, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	rewrite := Process.File("maps").Rewrite
	at := func(machine uint32) string {
		out, ok := rewrite(&Map{Machine: machine}, nil, own)
		if !ok {
			t.Fatalf("refused:\n%s", own)
		}
		return string(out)
	}
	if at(0) != string(own) {
		t.Error("the reader's own maps were rewritten")
	}
	device := regexp.MustCompile(`(?m)^(\S+ \S+ \S+) (\S+)`)
	bare := func(text string) string { return device.ReplaceAllString(text, "$1") }
	first, second := at(1), at(2)
	if bare(first) != bare(string(own)) || bare(second) != bare(string(own)) {
		t.Errorf("more than devices was rewritten:\n%s\nof\n%s", first, own)
	}
	means := map[string]string{}
	was := device.FindAllStringSubmatch(string(own), -1)
	for i, m := range device.FindAllStringSubmatch(first, -1) {
		before, now := was[i][2], m[2]
		if known, ok := means[before]; ok && known != now {
			t.Errorf("%s is %s and %s", before, known, now)
		}
		means[before] = now
		if (before == "00:00") != (now == "00:00") || before != "00:00" && !strings.HasPrefix(now, "801:") {
			t.Errorf("%s became %s", before, now)
		}
	}
	if len(means) < 2 || first == second {
		t.Errorf("devices are %v, and the same on two machines: %v", means, first == second)
	}
	if _, ok := rewrite(&Map{Machine: 1}, nil, []byte("no maps\n")); ok {
		t.Error("what has not the form of the file was taken")
	}
}
