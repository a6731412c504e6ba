// Package upstream keeps one node of a cluster connected, knows how it is, and makes
// exchanges with it.
//
// A [Node] is a machine, by its name in the configuration; a [Session] is one connection to
// it and what is known by that connection. Sessions are replaced whole: whoever holds
// something that came by one (a table, an open file) knows by [Session.Live] whether it
// still is of the node as it is.
//
// # Failure
//
// Each exchange has a deadline. The first that misses it has the node probed, and while a
// probe goes unanswered the node is silent: all further exchanges fail at once with
// EHOSTDOWN. A connection that ends makes the node down; it is dialled again, ever later.
//
// # Concurrency
//
// Everything exported may be used concurrently. The watcher (Run) alone opens and drops
// sessions. No mutex is held over an exchange.
package upstream
