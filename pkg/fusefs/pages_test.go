package fusefs

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// codes is a kernel that remembers the codes of its notifications.
type codes []int32

func (c *codes) Notify(code int32, _, _ []byte) error { *c = append(*c, code); return nil }

// A size that the kernel may still believe in from before is told anew: to put content
// of that size into the pages does not have it ignore the answer that says less.
func TestGrowthAfterShrinking(t *testing.T) {
	var got codes
	notify := notices{conn: &got}
	var p pages
	p.attr(notify, 7, vfs.Attr{Size: 10}, time.Hour, true)
	for _, size := range []int{10, 9, 10, 11} {
		if p.use(notify, 7, vfs.NewBytes(bytes.Repeat([]byte{'a'}, size), time.Hour)).how != reused {
			t.Fatalf("%d bytes are not put into the pages", size)
		}
		p.release(notify, 7)
	}
	want := codes{
		device.NotifyStore,
		device.NotifyInvalInode, device.NotifyStore, // less
		device.NotifyInvalInode, device.NotifyStore, // as much as once
		device.NotifyStore, // more than ever
	}
	if !slices.Equal(got, want) {
		t.Errorf("notified %v, want %v", got, want)
	}
}
