package aggregate

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
)

// TestFlappingNode: a node that comes and goes, and whose snapshots do, makes few lines,
// however long; the last one of its state is how it is; and another node has its own.
func TestFlappingNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := new(bytes.Buffer)
		cfg := Config{Log: slog.New(slog.NewTextHandler(lines, nil)), Now: time.Now}
		node := func(name string) *node {
			return newNode(t.Context(), &cfg, NodeConfig{Name: gpid.NodeName(name), Address: name + ":1"}, 1)
		}
		n, other := node("n1"), node("n2")
		flaw := errors.New(strings.Repeat("what the leaf says\n", 10000))
		const minutes = 10
		for range minutes * 60 {
			n.enter(stateUp, nil)
			n.swept(nil, flaw)
			n.swept(nil, nil)
			n.enter(stateSilent, flaw)
			n.enter(stateDown, flaw)
			time.Sleep(time.Second)
		}
		n.enter(stateUp, nil)
		other.enter(stateUp, nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := strings.Split(strings.TrimSuffix(lines.String(), "\n"), "\n")
		if most := 2*(10+minutes+2) + 1; len(got) > most || lines.Len() > most*2048 {
			t.Errorf("%d lines of %d bytes", len(got), lines.Len())
		}
		var states []string
		for _, line := range got {
			if strings.Contains(line, "node is ") && strings.Contains(line, "node=n1") {
				states = append(states, line)
			}
		}
		if last := states[len(states)-1]; !strings.Contains(last, `"node is up"`) || !strings.Contains(strings.Join(states, " "), "left_out=") {
			t.Errorf("the last line is %s", last)
		}
		if !strings.Contains(lines.String(), "node=n2") {
			t.Error("no line of the other node")
		}
	})
}
