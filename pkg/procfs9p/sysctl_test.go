package procfs9p

import (
	"io/fs"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Below sys/ a user may open here what they may open natively, file by file.
func TestSysctlRights(t *testing.T) {
	id := strconv.Itoa(testUID)
	script := `find /proc/sys -type f | while read -r f; do ( : <"$f" ) 2>/dev/null && echo "$f"; done; true`
	out, err := exec.Command("setpriv", "--reuid", id, "--regid", id, "--clear-groups", "sh", "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	may := map[string]bool{}
	for _, name := range strings.Fields(string(out)) {
		may[name] = true
	}
	l := newLeaf(t, Config{})
	user := attach(t, l, vfs.Identity{UID: testUID, GID: testUID}, "")
	files, refused := 0, 0
	filepath.WalkDir("/proc/sys", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "binfmt_misc") {
			return nil
		}
		rel := strings.TrimPrefix(path, "/proc/")
		if hidden(false, rel) {
			return nil
		}
		files++
		h, _, err := vfs.OpenPath(t.Context(), user, strings.Split(rel, "/")...)
		if err == nil {
			h.Close()
		}
		if denied := vfs.Errno(err) == syscall.EACCES || vfs.Errno(err) == syscall.EPERM; denied == may[path] {
			t.Errorf("%s: %v, natively it can be opened: %v", rel, err, may[path])
		} else if denied {
			refused++
		}
		return nil
	})
	if files < 300 || refused < 5 {
		t.Errorf("%d files, %d refused", files, refused)
	}
}
