package procfs9p

import (
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/procfs9p/dirents"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// maxThreads bounds what is sent of the threads of one process, in bytes.
const maxThreads = 64 << 20

// addThreads adds a file of all threads of the process, or their directories, see
// [snapshot.ThreadDirs]. A thread that has ended is not there.
func (k *worker) addThreads(dirfd int, f *wanted) (errno syscall.Errno, owned bool) {
	task, err := openAt(dirfd, "task", openDir)
	if err != nil {
		return vfs.Errno(err), true
	}
	defer unix.Close(task)
	raw, err := dirents.Read(task, nil, k.leaf.cfg.MaxFile)
	if err != nil {
		return vfs.Errno(err), true
	}
	var all []byte
	for e := range dirents.All(raw) {
		tid, ok := parsePID(e.Name)
		if !ok {
			continue
		}
		content, err, owned := k.threadFile(task, f, string(e.Name))
		switch {
		case !owned:
			return 0, false
		case isShortage(err):
			return vfs.Errno(err), true
		case isGone(err):
			continue
		}
		t := snapshot.Thread{TID: tid, Content: content}
		if err != nil {
			t.Errno = vfs.Errno(err)
		}
		if all = t.Append(all); len(all) > maxThreads {
			return syscall.EFBIG, true
		}
	}
	k.b.Add(all)
	return 0, true
}

// threadFile is the file of one thread, good until the next call.
func (k *worker) threadFile(task int, f *wanted, tid string) (content []byte, err error, owned bool) {
	switch of := (wanted{File: f.File, name: tid + "/" + f.thread}); {
	case f.thread == "":
		var st unix.Statx_t
		err = statAt(task, tid, &st)
		k.scratch = snapshot.ThreadDir{
			ID: k.leaf.childID(k.leaf.childID(k.proc, "task"), tid), UID: st.Uid, GID: st.Gid,
			Mode: uint32(st.Mode), Nlink: st.Nlink, Mtime: st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec),
		}.Append(k.scratch[:0])
	case f.Link:
		k.scratch, err = linkText(task, of.name, k.scratch[:0])
	case f.quick:
		err = k.readScratch(task, &of)
	default:
		return k.careful(func() error { return k.readScratch(task, &of) })
	}
	return k.scratch, err, true
}
