package procfile

import (
	"strings"
	"testing"
)

// Terminals have the names and numbers that they have on a machine.
func TestTTY(t *testing.T) {
	for name, device := range map[string][2]uint32{"pts/0": {136, 0}, "pts/30": {136, 30}, "pts/300": {136, 300}, "pts/257": {137, 1}, "tty1": {4, 1}, "ttyS0": {4, 64}, "204:64": {204, 64}} {
		tty := TTYNumber(device[0], device[1])
		if got := TTYName(tty); got != name {
			t.Errorf("%v is %q, want %q", device, got, name)
		}
		if major, minor := TTYDevice(tty); major != device[0] || minor != device[1] {
			t.Errorf("%v has the number %d, which is %d:%d", device, tty, major, minor)
		}
	}
	if TTYName(0) != "" {
		t.Error("no terminal has a name")
	}
	for _, minor := range []uint32{0, 255, 256, 1 << 18, TTYMinors - 1} {
		if _, got := TTYDevice(TTYNumber(136, minor)); got != minor {
			t.Errorf("minor %d became %d", minor, got)
		}
	}
	m := testMap()
	m.TTY = func(native int64) int64 { return native + 1 }
	var dst []byte
	stat := "7 (x) S 1 7 7 34816 7 4194304 1 0 0 0 5 6 0 0 20 0 1 0 100 1000 10 18446744073709551615" + strings.Repeat(" 0", 27) + "\n"
	dst, ok := rewriteStat(m, dst, []byte(stat))
	if f := strings.Fields(string(dst)); !ok || f[6] != "34817" {
		t.Errorf("rewritten: %q, %v", dst, ok)
	}
}
