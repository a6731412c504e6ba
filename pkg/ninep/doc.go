// Package ninep speaks 9P: a [Server] serves any vfs tree to 9P clients, and a
// [Client] is a vfs tree made of what a 9P server serves.
//
// # Model
//
// A connection carries frames. Each request has a tag, which its answer repeats;
// many are in flight at once and are answered in any order. A client names
// objects by fids: numbers of its choice that stand for a place in the tree,
// and later for a file or directory opened there. Tattach makes the first fid,
// Twalk makes others from it, Tclunk lets go. Section 5 of the Plan 9 manual
// (intro, attach, walk, flush, version ...) is the definition; 9P2000.L, the
// dialect that Linux speaks, is described in the kernel's sources (net/9p) and
// in diod's protocol document.
//
// # Order
//
// The server carries out the requests of one fid in the order in which they were
// sent, and those of different fids side by side. 9P does not ask for that;
// it lets a client send walk, open, read and clunk in one write and have a whole
// file in one round trip, which is how [Client] does everything it can. A Twalk
// belongs to the fid that it makes: any number may begin at one fid at once.
//
// # Latency
//
// To wake another thread takes longer than most requests do, so an exchange that
// is alone wakes nobody: the server's reader carries the request out itself (see
// post) and polls for the next (see pollTime), and the client's caller polls for
// its answer (see role). Both stop at once when there is more than one thing to
// do, or nothing.
//
// # Ending early
//
// Every request has a context: it ends at the server's deadline, by a Tflush, or
// when the client hangs up. A Tflush is answered behind the request that it
// ends. A request that goes on although its context has ended is answered
// ETIMEDOUT over its head, because some clients cannot be killed while they
// wait; what it does afterwards is undone. On the client's side a cancelled call
// returns at once and leaves a goroutine behind that flushes it and releases its
// fid; [Client.Close] waits for those.
//
// # Trust
//
// Neither side believes the other. Lengths are checked before anything is
// allocated, and memory grows with what has arrived. What is no proper message
// ends the connection with one logged line. [Limits] bound what a client can hold;
// what that is is counted for the identity (see account), and connections come in
// by a door that nobody can block (see door). Whoever reaches a limit is slowed or
// refused alone. A panic of the tree is EIO to
// that request and a logged stack.
//
// # Who is asking
//
// Who attaches is for an [IdentifyFunc] to say, from what is known of the peer and
// from what the attach claims. A [Trust] is the one that servers use:
//
//   - over a unix socket the kernel tells user and groups of the peer
//     (SO_PEERCRED, SO_PEERGROUPS). Root speaks for users; anybody else is who
//     they are, and a claim to be another is EPERM;
//   - over TLS both sides have shown a certificate of a CA that the other trusts
//     ([TLS]). Those that are listed as front ends speak for users; others are
//     the users that they are mapped to, or refused;
//   - plain TCP tells nothing. It is refused, or everybody on it speaks for users.
//
// The server of a node is known by the node's name in its certificate, whatever
// address led there. Each attach and each refusal is a line in the audit log
// ([ServerConfig]).
//
// # Speaking for users
//
// Who speaks for a user names the user by number in Tattach's n_uname, as Linux
// does. A front end has established the user's groups too, where the user asked,
// and says them in the uname, which Linux leaves empty or fills with a name:
//
//	@GID:G1,G2,...
//
// GID is the user's group and the others the supplementary groups, decimal without
// zeros in front, rising, without GID; "@100:" is no group but 100. A server that
// trusts the peer takes these for the user's groups, refuses with EINVAL what begins
// with "@" and is anything else, and looks the user up in its machine's database
// where the uname does not begin so. From any other peer it does not look at the
// uname. A string of 9P has at most 65535 bytes, which is room for 5900 groups of
// the longest numbers; a client with more, or with more than the server's frames
// have room for, refuses to attach (E2BIG): none is ever left out.
//
// The numbers that stand for nobody, 65534 and 4294967295, are never spoken for.
//
// # Identity of nodes
//
// A node of a Client remembers the ids (qid paths) on its way from the root. If
// a later walk along the same names meets others, the object is gone: ENOENT.
// So a node never answers for another object that took its name. No freshness
// comes over the wire: everything has Keep 0, and what may be cached for how long
// is decided above.
//
// # Dialects
//
// Between frames and tree there is one vocabulary, request and reply; a dialect
// translates, and says where the tree has what it has not: links, and directories
// that are read by name. Tversion chooses 9P2000.L or 9P2000 (see dialectOf).
// Messages of the latter are github.com/docker/go-p9p's; of that library no more
// than messages and codec is used, and the codec under recover.
//
// docs/9p.md lists messages, errors and limits.
package ninep
