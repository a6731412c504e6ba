package userdb

import (
	"errors"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// What the machine's own database has, in the words of the requester.
func TestNames(t *testing.T) {
	d := New(Config{})
	for name, want := range map[string]uint32{"daemon": 1, "4711": 4711} {
		if n, err := d.Requested(t.Context(), 1000, name); err != nil || n != want {
			t.Errorf("%s is %d, %v", name, n, err)
		}
	}
	for _, name := range []string{"no-such-user", "-x", ""} {
		if _, err := d.Requested(t.Context(), 1000, name); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if got := d.UserName(1); got != "daemon" {
		t.Errorf("1 is %s", got)
	}
	if got := d.UserName(123456789); got != "123456789" {
		t.Errorf("a user that does not exist is %s", got)
	}
	for name, want := range map[string]vfs.Identity{
		"root": vfs.Root, "0": vfs.Root, "daemon": {UID: 1, GID: 1}, "123456789": {UID: 123456789, GID: vfs.OverflowID},
	} {
		if got, err := d.Identity(t.Context(), name); err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, %v", name, got, err)
		}
	}
	if _, err := d.Identity(t.Context(), "no-such-user"); err == nil {
		t.Error("no-such-user has an identity")
	}
}
