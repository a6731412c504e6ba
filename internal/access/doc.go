// Package access decides who may see what of a cluster.
//
// # Model
//
// [Rules] are what the configuration says: administrators, who see everything,
// and views, of which the first that is for somebody is theirs. A [View] grants
// some nodes and the processes of some users there. [Allocation]s say which
// nodes a user has been given by a scheduler, and until when; a view may grant
// "the allocated nodes". The superuser is always an administrator.
//
// An [Authority] answers for an identity with a [Scope]: the nodes, the
// processes and the files that exist for it, and which rule says so. What is
// granted by nothing does not exist: without a view the scope has no nodes.
//
// # Freshness
//
// A Scope never changes. It is good until the rules or the allocations change,
// until the first allocation in it ends, and for [ScopeAge] at most, since it
// has names of users and groups resolved. [Authority.Current] tells; it costs
// two loads, so that it can be asked at every request, and rights that are taken
// away end at the next one.
//
// # Failure
//
// Everything fails towards less: a user or group that the user database does
// not know matches nobody, and allocations that cannot be had any more end after
// a time (see [Follow]).
//
// All methods may be called concurrently.
package access
