package vfstest

import (
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Options says what to test and what to expect of it. Paths are relative to the
// root, without a slash in front; the root itself is "".
type Options struct {
	Tree  vfs.Tree // not looked at by TestMount
	Who   vfs.Identity
	Aname string

	// MaxEntries is how many entries are visited, breadth first; 0 is 1000.
	MaxEntries int
	// MaxBytes is how much of a file is compared; 0 is 1 MiB.
	MaxBytes int
	// Grace is how soon "soon" is; 0 is 5 seconds.
	Grace time.Duration

	// Skip names what is left out with all below it: it is listed, and no more.
	Skip func(path string) bool
	// Moving names what may change, come and go while it is looked at.
	Moving func(path string) bool
	// MayFail names files and links whose opening or reading may fail with any
	// error. EACCES and EPERM are fine everywhere.
	MayFail func(path string) bool
	// Same reports whether two paths are names of one object.
	Same func(a, b string) bool

	// Unlisted are paths that can be walked though no directory lists them.
	Unlisted []string
	// Others are further identities to whom what they share with Who must have
	// the same ids.
	Others []vfs.Identity
	// Blocked are files whose opening or reading ends with the context only.
	Blocked []string
	// Ending makes an object that ends. It returns its path and what ends it;
	// again, if not nil, makes another object of that name.
	Ending func(t *testing.T) (path string, end, again func())
}

func (o Options) withDefaults() Options {
	nothing := func(string) bool { return false }
	if o.MaxEntries == 0 {
		o.MaxEntries = 1000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 20
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if o.Skip == nil {
		o.Skip = nothing
	}
	if o.Moving == nil {
		o.Moving = nothing
	}
	if o.MayFail == nil {
		o.MayFail = nothing
	}
	if o.Same == nil {
		o.Same = func(string, string) bool { return false }
	}
	return o
}
