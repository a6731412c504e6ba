package ps

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out)
		for range 3 {
			p.saw("n1")
		}
		p.saw("n2")
		time.Sleep(progressAfter + progressEvery/2)
		p.end()
		if got := out.String(); !strings.Contains(got, "4 processes of 2 nodes so far") || !strings.HasSuffix(got, "\r\x1b[K") {
			t.Errorf("%q", got)
		}
		out.Reset()
		p = newProgress(&out)
		p.end()
		if out.Len() > 0 {
			t.Errorf("a quick command tells %q", &out)
		}
		newProgress(nil).end()
	})
}
