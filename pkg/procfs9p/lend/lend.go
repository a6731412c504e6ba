// Package lend makes system calls with somebody else's rights.
//
// The kernel keeps credentials per thread, and what procfs asks (permissions, ptrace
// access, hidepid, who owns a user namespace) it asks of the thread's effective and fs
// ids, its groups and its effective capabilities: see credentials(7),
// user_namespaces(7). Those are the borrower's for as long as a call made by [As] runs.
// The real and saved ids stay the program's, and so do the permitted capabilities, none
// of which is in effect: so the borrower can neither signal nor trace nor renice the
// thread (kill(2), ptrace(2), cap_safe_nice in security/commoncap.c). A goroutine that is
// locked to its thread never starts another thread from it, so nothing inherits what was
// lent.
package lend

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// A Lender lends threads of the program. It may be used concurrently.
type Lender struct {
	own       func() (*Own, error)
	anySpoilt atomic.Bool
	spoilt    sync.Map // thread id: see spoil
}

// New makes a Lender. read, usually ReadOwn, is called once, before a thread is first
// lent: a program gives up what it does not need before it serves anybody (capset(2),
// setuid(2)), and nothing afterwards.
func New(read func() (*Own, error)) *Lender { return &Lender{own: sync.OnceValues(read)} }

// Own are the program's own rights.
func (l *Lender) Own() (*Own, error) { return l.own() }

// As runs f with the rights of who, on a thread that nothing else runs on meanwhile, and
// gives the thread its own rights back, whatever f does.
//
// A thread whose rights cannot be given back stays locked to the calling goroutine, which
// has to make such calls elsewhere (OnSpoilt), and with which the runtime ends the thread.
func As[T any](l *Lender, who *vfs.Identity, f func() (T, error)) (value T, err error) {
	own, err := l.own()
	if err != nil {
		return value, err
	}
	runtime.LockOSThread()
	lent, err := own.lend(who)
	defer func() {
		if back := own.takeBack(lent); back != nil {
			l.spoil()
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

// spoil notes that the calling thread could not be given its rights back. It belongs to
// the calling goroutine until that ends.
func (l *Lender) spoil() {
	l.spoilt.Store(unix.Gettid(), true)
	l.anySpoilt.Store(true)
}

// OnSpoilt reports whether the calling goroutine is locked to a thread that could not be
// given its rights back.
func (l *Lender) OnSpoilt() bool {
	if !l.anySpoilt.Load() {
		return false
	}
	_, spoilt := l.spoilt.Load(unix.Gettid())
	return spoilt
}
