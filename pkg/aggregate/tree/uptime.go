package tree

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newUptime is the root's uptime, see proc_uptime(5), for a reader to whom the machine has been up
// for longer than it has; see uptimeName. Its second number, how long all processors were idle, is
// the machine's.
func newUptime(base synthetic.Base, proc string, older time.Duration, id uint64) vfs.Node {
	return base.File(id, func(context.Context) ([]byte, error) {
		text, err := os.ReadFile(proc + "/uptime")
		if err != nil {
			return nil, err
		}
		up, idle, _ := bytes.Cut(text, []byte(" "))
		seconds, err := strconv.ParseFloat(string(up), 64)
		if err != nil {
			return nil, syscall.EIO
		}
		return fmt.Appendf(nil, "%.2f %s", seconds+older.Seconds(), idle), nil
	})
}
