package fusefs

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// notified returns a notifier and what says which codes it has sent, in order.
func notified(t *testing.T) (notifier, func() []int32) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return notifier{&device{file: w, fd: int(w.Fd()), epoll: -1, event: -1}}, func() (codes []int32) {
		w.Close()
		defer r.Close()
		all, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		for len(all) >= 16 { // struct fuse_out_header: length, code, number
			codes = append(codes, int32(binary.NativeEndian.Uint32(all[4:])))
			all = all[binary.NativeEndian.Uint32(all):]
		}
		return codes
	}
}

// A size that the kernel may still believe in from before is told anew: to put content
// of that size into the pages does not have it ignore the answer that says less.
func TestGrowthAfterShrinking(t *testing.T) {
	notify, codes := notified(t)
	var p pages
	p.attr(notify, 7, vfs.Attr{Size: 10}, time.Hour)
	for _, size := range []int{10, 9, 10, 11} {
		if !p.use(notify, 7, vfs.NewBytes(bytes.Repeat([]byte{'a'}, size), time.Hour)) {
			t.Fatalf("%d bytes are not put into the pages", size)
		}
		p.release(notify, 7)
	}
	want := []int32{
		notifyStore,
		notifyInvalInode, notifyStore, // less
		notifyInvalInode, notifyStore, // as much as once
		notifyStore, // more than ever
	}
	if got := codes(); !slices.Equal(got, want) {
		t.Errorf("notified %v, want %v", got, want)
	}
}
