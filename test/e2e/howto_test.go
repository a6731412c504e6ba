package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// The commands of the pages that are about a task do what the pages say: each works, and where one shows
// how its output begins, as a header, that is so.
func TestTaskDocumentation(t *testing.T) {
	pages, err := filepath.Glob("../../docs/howto-*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	dir := s.mount()
	ran := 0
	for _, page := range append(pages, "../../docs/monitoring.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(text), "```console\n") {
			if i == 0 {
				continue
			}
			block, _, _ = strings.Cut(block, "```")
			for _, example := range strings.Split("\n"+block, "\n$ ")[1:] {
				command, want, _ := strings.Cut(example, "\n")
				cmd := exec.CommandContext(t.Context(), "bash", "-o", "pipefail", "-c", strings.ReplaceAll(command, "/global", dir))
				cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "AGGRFS_SERVER="+s.server)
				out, err := output(cmd)
				// A command that looks for what is wrong finds nothing here.
				looks := strings.Contains(command, "awk '!/^#/")
				if err != nil && !looks || len(out) == 0 && !strings.Contains(command, "$10 > 1000") && !strings.Contains(command, "|| true") {
					t.Errorf("%s: %s: %v\n%s", page, command, err, out)
				}
				header, _, _ := strings.Cut(strings.TrimLeft(out, "\n"), "\n")
				if want = strings.TrimSpace(want); want != "" && !slices.Equal(strings.Fields(header), strings.Fields(want)) {
					t.Errorf("%s: %s begins with\n%s\nand not\n%s", page, command, header, want)
				}
				ran++
			}
		}
	}
	if ran < 30 {
		t.Errorf("%d commands", ran)
	}
}
