package ninep

import (
	"runtime"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// TestIdleConnections measures what a connection costs the server. The client's
// end, a bare socket, is counted too.
func TestIdleConnections(t *testing.T) {
	const conns, most = 300, 24 << 10 // bytes each
	r := newRig(t, vfstest.NewTree(), nil)
	connect := func() { r.talk(r.dial()).hello(MaxMsize) }
	connect()
	before := inUse()
	for range conns {
		connect()
	}
	each := (inUse() - before) / conns
	t.Logf("%d bytes a connection", each)
	if each > most {
		t.Errorf("an idle connection takes %d bytes, want at most %d", each, most)
	}
}

// inUse is heap and stacks, in bytes.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
