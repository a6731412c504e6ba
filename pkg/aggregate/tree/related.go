package tree

import (
	"context"
	"errors"
	"os"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// related is a process of the reader's machine that is not in the view, and that belongs to what the reader
// is part of: in the reader's mount namespace, which a command below exec has to itself and its
// children, or started by a process of it, or an ancestor of the reader. It can be walked to
// and is not listed: programs look for themselves, for their children ($!) and for their
// parents, and a listing shows the view.
func related(ctx context.Context, v viewTree, g gpid.GPID) (vfs.Node, error) {
	if g > gpid.MaxPID {
		return nil, syscall.ENOENT
	}
	n, pid := v.native, gpid.PID(g)
	reader := n.callerPID(ctx)
	if reader == 0 || !n.belongs(pid, reader) {
		return nil, syscall.ENOENT
	}
	name := strconv.Itoa(int(pid))
	st, err := n.stat(pid)
	if err != nil {
		return nil, syscall.ENOENT
	}
	info, err := os.Lstat(n.proc + "/" + name)
	if err != nil {
		return nil, syscall.ENOENT
	}
	a := n.base.Attr(objectid.Process(v.ID, 0, objectid.Mix(uint64(pid), uint64(st.Start))), vfs.TypeDir)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		a.UID, a.GID = owner.Uid, owner.Gid
	}
	a.Keep, a.KeepName = 0, 0
	return newHeadProcess(v, &fixedDir{n.base.Dir(a.ID, nil, nil), a}, pid, 0), nil
}

// maxAncestors bounds how far up processes are looked for.
const maxAncestors = 1 << 10

// belongs reports whether a process is one that related finds.
func (n *native) belongs(pid, reader gpid.PID) bool {
	if pid == reader || pid == 1 {
		return true
	}
	if home := n.textOf(reader, "ns/mnt"); home != "" && n.anyAncestor(pid, func(p gpid.PID) bool { return p == reader || n.textOf(p, "ns/mnt") == home }) {
		return true
	}
	return n.anyAncestor(reader, func(p gpid.PID) bool { return p == pid })
}

// anyAncestor reports whether is holds for a process or an ancestor of it.
func (n *native) anyAncestor(pid gpid.PID, is func(gpid.PID) bool) bool {
	for range maxAncestors {
		if is(pid) {
			return true
		}
		st, err := n.stat(pid)
		if err != nil || st.PPID <= 0 {
			return false
		}
		pid = gpid.PID(st.PPID)
	}
	return false
}

var errNoStat = errors.New("a stat file has not the form of one")

// stat is what the stat file of a process says.
func (n *native) stat(pid gpid.PID) (procfile.Stat, error) {
	text, err := os.ReadFile(n.proc + "/" + strconv.Itoa(int(pid)) + "/stat")
	if err != nil {
		return procfile.Stat{}, err
	}
	st, ok := procfile.ParseStat(nil, text)
	if !ok {
		return st, errNoStat
	}
	return st, nil
}
