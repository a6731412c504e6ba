package procfs9p

import (
	"runtime"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// as runs f with the rights of who, on a thread that nothing else runs on
// meanwhile, and gives the thread its own rights back.
//
// The kernel keeps credentials per thread, and what procfs asks (permissions,
// ptrace access, hidepid, who owns a user namespace) it asks of the thread's
// effective and fs ids, its groups and its effective capabilities: see
// credentials(7), user_namespaces(7). Those are the identity's for as long as f
// runs. The real and saved ids stay the leaf's, and so do the permitted
// capabilities, none of which is in effect: so who it is can neither signal nor
// trace nor renice the thread (kill(2), ptrace(2), cap_safe_nice in
// security/commoncap.c). A goroutine that is locked to its thread never starts
// another thread from it, so nothing inherits what was lent.
//
// A thread whose rights cannot be given back stays locked to the calling
// goroutine, which makes no call on the procfs there any more (rights.onSpoilt),
// and with which the runtime ends the thread.
func as[T any](own *rights, who *vfs.Identity, f func() (T, error)) (value T, err error) {
	if err := own.ready(); err != nil {
		return value, err
	}
	runtime.LockOSThread()
	lent, err := own.lend(who)
	defer func() {
		if back := own.takeBack(lent); back != nil {
			own.spoil()
			if err == nil {
				err = back
			}
			return
		}
		runtime.UnlockOSThread()
	}()
	if err != nil {
		return value, err
	}
	return f()
}
