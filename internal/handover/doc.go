// Package handover passes a mounted FUSE device from the command that has mounted it to the
// daemon that serves it, and carries what both say to each other while it is served.
//
// # Model
//
// The command opens /dev/fuse, mounts it in its own namespace, and connects to the daemon's
// unix socket, on which 9P is spoken as well: what begins with [Magic] is an offer. An [Offer]
// and one descriptor come in the first message (SCM_RIGHTS, unix(7)). The daemon answers that
// it serves the device, or why not, and the connection stays: the mount is served for as long
// as it does.
//
//	command → daemon  Magic, the offer and the descriptor
//	daemon → command  ready, or an error
//	daemon → command  the kernel's INIT, for a daemon that takes over later
//	daemon → command  a notification to write to the device, with a number
//	command → daemon  what became of that number
//	command → daemon  a ping, which the daemon answers
//
// # What is believed
//
// The daemon believes nothing that the command says: who the user is, it has from the socket.
// The offer chooses among what that user may see anyway. The daemon itself never writes a
// notification, since the kernel can let that wait for as long as the user likes; the command
// does, and waits alone.
//
// # Format
//
// After Magic each message is its length in bytes (32 bits, little-endian, without itself), a
// byte for its kind and a body. Offer, ready and error are JSON.
//
// Methods of a [Taken] and a [Given] may be called concurrently.
package handover
