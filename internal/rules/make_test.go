package rules

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestWhatIsInstalled asks make, without doing anything, which packages it would
// install: to try the demo or to measure nobody needs what the tests run on the tree.
func TestWhatIsInstalled(t *testing.T) {
	demo := []string{"ca-certificates", "git", "mount", "procps", "util-linux"}
	bench := []string{"diod", "pdsh", "psmisc", "lsof", "iproute2", "python3", "python3-psutil"}
	for target, want := range map[string][]string{
		"run": demo, "soak": demo,
		"bench": append(slices.Clone(demo), bench...), "bench-scale": append(slices.Clone(demo), bench...),
		"build": nil, "sim": nil, "install": nil, "manual": nil, "release": nil,
	} {
		cmd := exec.Command("make", "-n", target)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("make -n %s: %v: %s", target, err, out)
		}
		var got []string
		for _, line := range regexp.MustCompile(`(?m)^\.ci/prepare (.*)$`).FindAllStringSubmatch(string(out), -1) {
			got = append(got, strings.Fields(line[1])...)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("make %s installs %q, want %q", target, got, want)
		}
	}
}
