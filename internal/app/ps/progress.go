package ps

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// progress tells people at a terminal how far a slow command has come.
type progress struct {
	out   io.Writer // nil is nobody
	nodes atomic.Int64
	rows  atomic.Int64
	last  string // node
	over  chan struct{}
	done  sync.WaitGroup
	told  bool
}

const (
	// progressAfter is when it begins to tell, progressEvery how often it does.
	progressAfter = 700 * time.Millisecond
	progressEvery = 200 * time.Millisecond
)

// showProgress begins to tell on standard error, if that is a terminal.
func showProgress() *progress {
	if !isTerminal(os.Stderr) {
		return newProgress(nil)
	}
	return newProgress(os.Stderr)
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, over: make(chan struct{})}
	if out != nil {
		p.done.Go(p.tell)
	}
	return p
}

// saw counts a row of that node; the rows of a node come together.
func (p *progress) saw(node string) {
	p.rows.Add(1)
	if node != p.last {
		p.last = node
		p.nodes.Add(1)
	}
}

func (p *progress) tell() {
	for wait := progressAfter; ; wait = progressEvery {
		select {
		case <-p.over:
			if p.told {
				fmt.Fprint(p.out, "\r\x1b[K")
			}
			return
		case <-time.After(wait):
			p.told = true
			fmt.Fprintf(p.out, "\r\x1b[K%d processes of %d nodes so far", p.rows.Load(), p.nodes.Load())
		}
	}
}

// end wipes out what was told.
func (p *progress) end() {
	close(p.over)
	p.done.Wait()
}
