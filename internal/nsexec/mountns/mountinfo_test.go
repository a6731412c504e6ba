package mountns

import "testing"

func TestUppermost(t *testing.T) {
	const table = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
40 27 0:50 / /mnt/a\040b\134c rw - fuse.aggrfs some\040where rw
41 22 0:51 / /proc rw,nosuid - fuse.aggrfs aggrfs rw
42 27 0:52 / /covered rw - fuse aggrfs rw
43 42 0:53 / /covered rw - tmpfs none rw
a line that is none
44 27 0:54 / /short rw
`
	for point, want := range map[string]string{
		"/proc":       "41",
		`/mnt/a b\c`:  "40",
		"/":           "", // not FUSE
		"/covered":    "", // by something else
		"/no/such":    "",
		"/short":      "",
		`/mnt/a\040b`: "",
	} {
		if got := uppermost(parseMounts(table), point); got != want {
			t.Errorf("%s: mount %q, want %q", point, got, want)
		}
	}
}

func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "/plain": "/plain", `/a\040b\011\012\134`: "/a b\t\n\\", `/a\04`: `/a\04`, `/a\999`: `/a\999`, `\`: `\`,
	} {
		if got := unescape(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
