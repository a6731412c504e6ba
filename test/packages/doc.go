// Package packages tries the packages that "make release" makes, as an administrator does who
// has nothing else of the project.
//
// # Model
//
// The packages of the source at hand are made twice, here and in a copy elsewhere, and those of
// the commit before once, by that commit's own means. They are looked at by lintian, rpmlint,
// dpkg and rpm, and installed in a minimal Debian: a tree of files in which that
// Debian's systemd is process 1 of its own namespaces (machine), with a cgroup of its own and a
// network that nobody else is on. There the old ones are installed, used, upgraded while a
// mount and a command are in use, removed and purged; nothing may be left of them.
//
// # Running it
//
// "make test-packages" gets the Debian and the tools. The tag keeps these tests out of
// "go test ./...", which knows of none of it.
package packages
