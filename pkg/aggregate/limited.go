package aggregate

import (
	"context"
	"strings"

	"github.com/aggrfs/aggrfs/pkg/aggregate/sums"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// nodeWide are the files of a /proc root that tell of the machine and not of its
// users' processes, as locks, sysvipc and key-users do. What is not here does
// not exist in a view that is limited in processes.
var nodeWide = map[string]bool{
	"buddyinfo": true, "cgroups": true, "consoles": true, "cpuinfo": true, "crypto": true, "devices": true,
	"diskstats": true, "filesystems": true, "interrupts": true, "irq": true, "loadavg": true, "mdstat": true,
	"meminfo": true, "misc": true, "modules": true, "partitions": true, "pressure": true, "softirqs": true,
	"stat": true, "swaps": true, "sys": true, "uptime": true, "version": true, "vmstat": true, "zoneinfo": true,
}

// sysOthers are files below sys that count what all users do.
var sysOthers = map[string]bool{
	"sys/kernel/ns_last_pid": true, "sys/kernel/pty/nr": true, "sys/fs/file-nr": true, "sys/fs/inode-nr": true,
	"sys/fs/inode-state": true, "sys/fs/dentry-state": true, "sys/fs/aio-nr": true, "sys/net/netfilter/nf_conntrack_count": true,
}

// countsOthers tells whether a path from the root of a node's /proc is one of them:
// it does not exist for a limited viewer.
func countsOthers(path []string) bool {
	return len(path) > 2 && path[0] == "sys" && sysOthers[strings.Join(path, "/")]
}

// outside tells whether a name in the root of a node's /proc is one of what tells
// of others' processes: it does not exist for a limited viewer.
func outside(name string) bool { return !nodeWide[name] && !namesProcess(name) }

// ofNetwork tells whether a path from the root of a node's /proc leads to what a
// process's directory tells of its network namespace, which is everybody's: it does
// not exist for a limited viewer either.
func ofNetwork(path []string) bool {
	return len(path) > 1 && path[1] == "net" || len(path) > 3 && path[1] == "task" && path[3] == "net"
}

// miscounts reports whether a root file may count processes that the viewer is not shown.
func (n *node) miscounts(v viewer, name string) bool {
	return sums.CountsProcesses(name) && (v.limited() || !n.reads(v.identity()))
}

// limit makes a root file of a node that counts processes count those that the viewer
// is shown: those of the view, less those that the node's procfs hides (hidepid).
func (n *node) limit(ctx context.Context, v viewer, name string, text []byte) ([]byte, error) {
	if !n.miscounts(v, name) {
		return text, nil
	}
	who := v.identity()
	if last := n.table.Load(); !v.limited() && last != nil && !hidesFrom(last.Facts(), who, hideContent) {
		return text, nil
	}
	r := n.sweptFor(ctx, who)
	if r.t == nil {
		return nil, r.err
	}
	if !v.limited() && !hidesFrom(r.t.Facts(), who, hideContent) {
		return text, nil
	}
	return sums.Limit(name, text, n.counts(v, r)), nil
}

// counts are of the processes of a roster that the viewer is shown.
func (n *node) counts(v viewer, r roster) (c sums.Counts) {
	k, who := r.t.fileIndex("stat"), v.identity()
	bare := !n.reads(who) && hidesFrom(r.t.Facts(), who, hideContent)
	for i := range r.t.Len() {
		uid := r.t.UID(i)
		switch {
		case !v.sees(uid) || !r.has(i):
		case bare && uid != who.UID:
			c.Add(nil) // that it is there is all that is shown of it
		default:
			stat, _ := r.t.File(i, k)
			c.Add(stat)
		}
	}
	return c
}

// limited is limit for the open file of r, which it closes.
func (r *remote) limited(ctx context.Context, h vfs.Handle) (vfs.Handle, error) {
	defer h.Close()
	text, err := vfs.ReadAll(ctx, h, maxSumPart)
	if err != nil {
		return nil, err
	}
	if text, err = r.n.limit(ctx, r.v, r.path[0], text); err != nil {
		return nil, err
	}
	return vfs.NewBytes(text, 0), nil
}
