package userdb

import (
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// What the machine's own database has, in the words of who asks.
func TestNames(t *testing.T) {
	d := New(Config{})
	if n, ok := d.UID("daemon"); !ok || n != 1 {
		t.Errorf("daemon is %d, %v", n, ok)
	}
	if n, ok := d.UID("4711"); !ok || n != 4711 {
		t.Errorf("4711 is %d, %v", n, ok)
	}
	if _, ok := d.UID("no-such-user"); ok {
		t.Error("there is a user no-such-user")
	}
	if n, ok := d.GID("daemon"); !ok || n != 1 {
		t.Errorf("the group daemon is %d, %v", n, ok)
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
