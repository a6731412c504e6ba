// Package vm tries the tree with Linux's own 9P client, which needs a kernel that
// has it: a virtual machine boots Debian's, and everything runs in there. It is an older kernel too,
// and so aggrfs exec is tried on it.
//
// # Model
//
// The host (the tests of this package, built with the tag vm) makes an initramfs
// of the programs under test, the tools that are run on the tree, and the guest
// (package guest), which is its init. It boots once, by qemu without KVM where
// the machine has none, and the guest does all checks, one behind the other: it
// mounts a second procfs aside for serving, starts procsrv and aggrfs, mounts
// what they serve in one way after the other, looks, and says what came of it on
// the serial console (package report). Here each line becomes a subtest.
//
// Each check has a deadline in the guest, and the machine one here, after which it
// is switched off; a check that got no further is named by the last line.
//
// # Running it
//
// "make test-vm" gets qemu, the kernel and the rest, and names what it cannot get.
// The tag keeps these tests out of "go test ./...", which knows of none of it.
package vm
