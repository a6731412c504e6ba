// Package userdb resolves users and groups as this machine's name service has
// them.
//
// # Model
//
// In static programs, as they are installed, package os/user reads /etc/passwd and
// /etc/group only; the users of a cluster are in LDAP, SSSD or NIS. So os/user is
// asked first, and what it does not know is asked of getent(1), which goes where
// nsswitch.conf(5) says. A user's groups are asked of getent at once: that
// somebody is in some group of /etc/group says nothing of the others.
//
// # Freshness
//
// Answers are kept for a while, a bounded number of them: who somebody is for
// Config.Age, that there is nobody of that name for the shorter Config.UnknownAge,
// and that the question failed for the still shorter Config.FailedAge. While a name
// service fails, the last good answer about somebody stands for Config.StaleAge; that
// there is nobody of that name stands for nothing. Who asks what is being asked already
// waits for that answer.
//
// # Failure
//
// A name that nobody has is ErrUnknown. Any other error is a failure to find out,
// and nothing follows from it. (getent cannot tell the two apart where a source
// is out of reach and nsswitch.conf lets it go on: that is ErrUnknown, too.) A
// question takes at most Config.Timeout, the wait for its turn included (and a second
// more where getent cannot be ended). A name service that leaves two questions in a
// row without an answer is not asked for Config.FailedAge: what is not kept fails at
// once then, so that a list of a hundred users does not take a hundred timeouts. To wait
// for one's turn is not such a silence.
//
// # Lanes
//
// Questions on whose answers rights depend are asked apart from those about names that
// clients choose (DB.Requested) and those about names that are only shown
// (DB.UserName): each sort has its own processes, its own bounded answers and its own
// idea of whether the service answers. The latter two are asked for a few at a time;
// more are refused at once. So nobody can keep others from their rights by asking.
//
// Names come from anywhere, a network too. One that could be taken for an option
// or for a number, or that cannot be in the user database, is ErrUnknown without
// being asked of anyone.
package userdb
