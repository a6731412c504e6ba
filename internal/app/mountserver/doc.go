// Package mountserver serves, in the daemon, the mounts that commands offer to it: the kernel's
// requests are answered from the cluster's tables, with nothing in between.
//
// # What a user can do to it
//
// All that comes with a device is the user's word. Whose tree it is says the socket
// (SO_PEERCRED); only root may ask for another's, or open a mount to everybody. A mount's
// requests come from the user's own kernel mount, whom the user may hinder as they like: each
// mount has readers of its own, and a mount's end, or a user's reading from the same device,
// is felt by no other. What users may have it do is bounded ([Limits]), and a mount counts for as
// long as a reader is left in its device.
//
// Owners of files are given as the mounter's user namespace numbers them, and thread ids are
// believed only where the mounter is in this process's pid namespace (namespace.go).
package mountserver
