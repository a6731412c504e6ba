// Package device has one FUSE device and the conversation on it: it is opened, mounted and
// cloned here, and a [Conn] reads the kernel's requests and has them answered.
//
// # Model
//
// A [Conn] reads a request (loop.go), checks it like a packet from a stranger (protocol.go),
// and has go-fuse decode it and call the method of the [Handler] that answers it, on the same
// goroutine; the answer is one write. Most requests end sooner than another thread wakes, so
// the device is left alone meanwhile; a request that takes longer delays others by a
// millisecond or two, until the watch sends another reader (see post).
//
// Who opened the device may share it: another process can read requests from it, answer
// them, or make it block. What it takes is lost to its own users alone. A server that is
// started on a device which another one has served is told the INIT of then ([Config]); in
// between, a [StandIn] keeps anybody from waiting.
//
// # Freshness
//
// Nothing is cached here.
//
// # Failure
//
// Nothing hangs. A request's context ends at its deadline and when the kernel
// tells that the caller was interrupted. A call into the handler that goes on all
// the same is answered for, with ETIMEDOUT, shortly after; its goroutine ends
// when the call does, what it brings is given back, and [Conn.Stuck] counts
// it until then. A reader that read(2) does not let go (somebody has made the device
// block) is left behind; [Conn.Left] tells when none is.
package device
