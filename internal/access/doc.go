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
// Everything fails towards less. A user or group that the user database does not have
// matches nobody. Where the database does not say whether a view is for somebody, none
// is theirs, for a few seconds, rather than one behind it that may grant more. A line
// of a table of allocations that is not understood costs itself alone; a source that
// fails keeps its last table for a time (see [Follow]), and [Authority.Source] says how
// old that is.
//
// # Who somebody is
//
// Ids and groups are the kernel's word, and the user database's beside it: somebody is
// in a group if either has them in it, since a process can drop its groups in a user
// namespace. "Any user" is who has a name in the database. The overflow ids, and ids
// that users may take in user namespaces (subuid(5), subgid(5)), are nobody's.
//
// All methods may be called concurrently.
package access
