package ninep

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// TestTranscripts plays the conversations in testdata: what follows "->" is sent,
// as many as stand together in one write; "<-" is the next answer; "closed" is the
// end of the connection by the server, and "again" a new one.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			play(t, file, string(text))
		})
	}
}

const manual = "../../docs/9p.md"

// TestManual plays the conversations of the manual, and looks for all that it must
// explain.
func TestManual(t *testing.T) {
	b, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	blocks := regexp.MustCompile("(?s)```9p\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) < 2 {
		t.Errorf("%d conversations", len(blocks))
	}
	for _, b := range blocks {
		play(t, manual, b[1])
	}
	for name := range layouts {
		if name, _, _ := strings.Cut(name, "."); name[0] == 'T' && !strings.Contains(text, "`"+name+"`") {
			t.Errorf("it does not have %s", name)
		}
	}
	for limit := range reflect.TypeFor[Limits]().Fields() {
		if !strings.Contains(text, "| `"+limit.Name+"` |") {
			t.Errorf("it does not have the limit %s", limit.Name)
		}
	}
	for _, e := range texts {
		if !strings.Contains(text, e.text) {
			t.Errorf("it does not have the error %q", e.text)
		}
	}
}

// stage is the tree of the transcripts.
func stage() *vfstest.Tree {
	tree := vfstest.NewTree()
	tree.Put("1/stat", vfstest.File{Stat: vfstest.Stat{UID: 10, GID: 20}, Data: []byte("1 (init) S 0 1"), NoSize: true})
	tree.Put("1/exe", vfstest.Link{Target: "/sbin/init"})
	tree.Put("1/task/1/comm", vfstest.File{Data: []byte("init\n")})
	tree.Put("self", vfstest.Link{Target: "1"})
	tree.Put("thread-self", vfstest.Link{Target: "1/task/1"})
	tree.Put("stuck", vfstest.File{Read: vfstest.BlockedContent})
	tree.Put("panics", vfstest.File{Read: func(context.Context, vfs.Identity) ([]byte, error) { panic("on purpose") }})
	tree.Put("rpc", vfstest.File{RPC: func(_ context.Context, _ vfs.Identity, req []byte) ([]byte, error) {
		return append([]byte("you said "), req...), nil
	}})
	return tree
}

func play(t *testing.T, file, text string) {
	r := newRig(t, stage(), func(cfg *ServerConfig) {
		cfg.Identify = func(Peer, Claim) (vfs.Identity, error) { return vfs.Root, nil }
		cfg.Log = discard()
		cfg.Self = map[string]string{"self": "1", "thread-self": "1/gone"}
		cfg.Owners = func(uid, gid uint32) (user, group string) {
			return map[uint32]string{0: "root", 10: "glenda"}[uid], map[uint32]string{0: "sys"}[gid]
		}
	})
	c := r.talk(r.dial())
	var out []byte
	say := func() {
		if len(out) > 0 {
			c.write(out)
		}
		out = nil
	}
	for i, line := range strings.Split(text, "\n") {
		what, message, _ := strings.Cut(line, " ")
		if what != "->" {
			say()
		}
		switch what {
		case "->":
			frame, err := encodeText(message)
			if err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
			out = append(out, frame...)
		case "<-":
			name, _, _ := strings.Cut(message, " ")
			got := decodeText(c.read(), name)
			pattern := strings.ReplaceAll(regexp.QuoteMeta(message), `\*`, ".*")
			if !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
				t.Fatalf("%s:%d: got\n\t%s\nwant\n\t%s", file, i+1, got, message)
			}
		case "closed":
			if _, err := io.Copy(io.Discard, c.conn); err != nil && !isHangUp(err) {
				t.Fatalf("%s:%d: the connection goes on: %v", file, i+1, err)
			}
		case "again":
			c = r.talk(r.dial())
		case "", "#":
		default:
			t.Fatalf("%s:%d: neither -> nor <- nor closed nor again nor #: %q", file, i+1, line)
		}
	}
	say()
}
