package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/nsexec"
)

// A request for a whole answer where nothing is installed does not get this machine's.
func TestStrictWithoutCluster(t *testing.T) {
	elsewhere(t)
	for status, lines := range map[int][][]string{
		exit.Unknown:      {{"ps", "--strict"}, {"ps", "--strict", "-u", "4242"}, {"nodes", "--strict"}, {"mount", "--strict", t.TempDir()}},
		nsexec.CodeFailed: {{"exec", "--strict", "--", "true"}},
		0:                 {{"nodes", "--strict", "--local"}},
		1:                 {{"ps", "--strict", "--local", "-u", "4242"}},
	} {
		for _, line := range lines {
			r := runLine(t, line...)
			if r.status != status || status > 1 && (r.out != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "--local") || !strings.Contains(r.stderr, installedConfig)) {
				t.Errorf("%v: %+v", line, r)
			}
		}
	}
}

// A link to nothing is a cluster that is not there now, such as a file system that is not
// mounted, and not that there is none.
func TestLinkToNothing(t *testing.T) {
	for name, place := range map[string]func(dir string){
		"the configuration": func(dir string) { os.Symlink("/nonexistent/x", filepath.Join(dir, "aggrfs.yaml")) },
		"its directory": func(dir string) {
			os.Symlink("/nonexistent/x", filepath.Join(dir, "etc"))
			installedConfig = filepath.Join(dir, "etc/aggrfs.yaml")
		},
		"a directory above": func(dir string) {
			os.Symlink("nothing", filepath.Join(dir, "etc"))
			installedConfig = filepath.Join(dir, "etc/a/aggrfs.yaml")
		},
		"the socket": func(dir string) { os.Symlink("nothing", filepath.Join(dir, "s")) },
		"the directory of the socket": func(dir string) {
			os.Symlink("nothing", filepath.Join(dir, "run"))
			defaultServer = "unix:" + filepath.Join(dir, "run/s")
		},
		"a link in a circle": func(dir string) {
			os.Symlink("etc", filepath.Join(dir, "etc"))
			installedConfig = filepath.Join(dir, "etc/aggrfs.yaml")
		},
		"a file instead of a directory": func(dir string) {
			os.WriteFile(filepath.Join(dir, "etc"), nil, 0o600)
			installedConfig = filepath.Join(dir, "etc/aggrfs.yaml")
		},
	} {
		t.Run(name, func(t *testing.T) {
			place(elsewhere(t))
			for _, line := range [][]string{{"ps"}, {"nodes"}, {"ps", "-u", "4242"}} {
				if r := runLine(t, line...); r.status != exit.Unknown || r.out != "" || !strings.Contains(r.stderr, "no server answers at "+defaultServer) {
					t.Errorf("%v: %+v", line, r)
				}
			}
		})
	}
	dir := elsewhere(t)
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "etc")); err != nil {
		t.Fatal(err)
	}
	if installedConfig = filepath.Join(dir, "etc/aggrfs.yaml"); newApp().env.HasCluster() {
		t.Error("a link to an empty directory is taken for a configuration")
	}
}
