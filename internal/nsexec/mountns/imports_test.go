package mountns_test

import (
	"os/exec"
	"strings"
	"testing"
)

// This package, and the helper that is built of it, import nothing that is not
// of Go itself but x/sys/unix.
func TestImports(t *testing.T) {
	const module = "github.com/aggrfs/aggrfs/"
	for _, p := range []string{module + "internal/nsexec/mountns", module + "cmd/aggrfs-ns"} {
		out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", p).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, dep := range strings.Fields(string(out)) {
			switch dep {
			case p, module + "internal/nsexec/mountns", "golang.org/x/sys/unix":
			default:
				t.Errorf("%s imports %s", p, dep)
			}
		}
		if !strings.Contains(string(out), "golang.org/x/sys/unix") {
			t.Errorf("%s: %s", p, out)
		}
	}
}
