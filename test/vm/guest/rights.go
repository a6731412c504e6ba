package main

import (
	"encoding/json"
	"strings"

	"github.com/aggrfs/aggrfs/test/cluster/survey"
)

// unread is what a leaf never shows, by docs/namespace.md, what names the reader,
// and what there is so much of that test/e2e has to do with it.
var unread = []string{
	"kcore", "kmsg", "kpagecount", "kpageflags", "kpagecgroup", "sysrq-trigger", "vmcore", "bus", "acpi", "fs", "mem", "pagemap",
	"clear_refs", "channel", "self", "thread-self", "keys", "sys", "net", "task", "map_files", "tty", "irq", "driver", "scsi",
}

// rights compares what users read of every process and of the root's files through
// the mount with what the kernel shows them.
func (g *guest) rights(c *check, d dialect, w way) {
	dir, unmount := mount(c, d, w, 0, "access=user,msize=65536")
	defer unmount()
	r := survey.Request{PIDs: []int{1, 2}, Skip: unread}
	for _, pids := range g.pids {
		r.PIDs = append(r.PIDs, pids[:2]...)
	}
	for _, uid := range []int{0, eve} {
		before := g.survey(c, uid, native, r)
		got := g.survey(c, uid, dir+"/nodes/n1", r)
		after := g.survey(c, uid, native, r)
		lines := survey.Compare(before, after, got)
		if len(lines) > 0 {
			c.errorf("user %d:\n%s", uid, strings.Join(lines[:min(len(lines), 40)], "\n"))
		}
		if len(before) < 300 {
			c.errorf("user %d: only %d objects", uid, len(before))
		}
		c.notef("user %d: %d objects", uid, len(before))
	}
}

// survey reads all that there is in a /proc, as the user.
func (g *guest) survey(c *check, uid int, root string, r survey.Request) (all []survey.Entry) {
	r.Root = root
	request, err := json.Marshal(r)
	c.must(err)
	cmd := as(c, uid, "/init", "survey")
	cmd.Stdin = strings.NewReader(string(request))
	c.must(json.Unmarshal([]byte(output(c, cmd)), &all))
	return all
}
