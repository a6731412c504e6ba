package control

import (
	"bytes"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

func TestParseAction(t *testing.T) {
	for text, want := range map[string]string{
		"signal TERM": "signal TERM", "signal SIGTERM": "signal TERM", "signal sigterm": "signal TERM", "signal 15": "signal TERM",
		"signal 0": "signal 0", "signal 65": "signal 65", "signal -1": "signal -1", "signal RTMIN+3": "signal 37", "signal RTMAX": "signal 64", "signal RTMAX+1": "",
		"signal": "", "signal TERM 1": "", "signal NONE": "", "fly": "", "": "",
		"sigqueue USR1 7": "sigqueue USR1 7", "sigqueue USR1 x": "", "sigqueue 10 4294967295": "sigqueue USR1 4294967295", "sigqueue 10 4294967296": "",
		"nice 5": "nice 5", "nice -30": "nice -20", "nice 40": "nice 19", "nice x": "",
		"affinity 3,0-1,1": "affinity 0-1,3", "affinity 8191": "affinity 8191", "affinity 8192": "", "affinity 3-1": "", "affinity": "", "affinity ,": "",
		"ioprio idle": "ioprio idle:0", "ioprio be": "ioprio be:4", "ioprio be:7": "ioprio be:7", "ioprio 3": "ioprio idle:0", "ioprio 7:0": "ioprio 7:0", "ioprio x": "", "ioprio be:9999": "",
		"sched fifo 10": "sched fifo 10", "sched 3 0": "sched batch 0", "sched 1073741824 0": "sched 1073741824 0", "sched x 0": "", "sched fifo": "",
		"rlimit nofile 1:2": "rlimit nofile 1:2", "rlimit RLIMIT_CORE 0:unlimited": "rlimit core 0:unlimited", "rlimit 7 18446744073709551615:1": "rlimit nofile unlimited:1", "rlimit 99 1:1": "rlimit 99 1:1", "rlimit x 1:1": "", "rlimit core 1": "",
		"probe": "probe", "probe 1": "", "get-rlimit 7": "get-rlimit nofile", "getsid": "getsid",
		"kill": "signal KILL", "stop": "signal STOP", "start": "signal CONT", "hangup": "signal HUP", "interrupt": "signal INT", "pri 10": "nice 0", "pri 19": "nice -9", "pri x": "", "wired 2": "affinity 2", "kill 9": "",
	} {
		a, err := ParseAction(strings.Fields(text))
		if got := a.String(); err == nil && got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
		if want == "" {
			continue
		}
		if again, err := ParseAction(append([]string{a.Verb}, a.Args...)); err != nil || !reflect.DeepEqual(a, again) {
			t.Errorf("%q has another spelling: %v, %v", text, again, err)
		}
	}
}

func TestKind(t *testing.T) {
	for text, want := range map[string]string{"signal 0": "", "signal 9": "signal", "sigqueue 0 1": "signal", "probe": "", "get-nice": "", "pri 3": "nice", "rlimit core 0:0": "rlimit"} {
		if a, err := ParseAction(strings.Fields(text)); err != nil || a.Kind() != want {
			t.Errorf("%q is of kind %q, %v", text, a.Kind(), err)
		}
	}
}

func TestHeader(t *testing.T) {
	for _, l := range []Limit{{}, {Own: true}, {Shown: []uint32{}}, {Own: true, Shown: []uint32{0, 4294967295}}} {
		got, rest, err := CutHeader(append(AppendHeader(nil, l), "1 2 probe\n"...))
		if err != nil || string(rest) != "1 2 probe\n" || !reflect.DeepEqual(got, l) {
			t.Errorf("%+v is %+v, %q, %v", l, got, rest, err)
		}
	}
	for text, want := range map[string]syscall.Errno{
		"": syscall.EINVAL, "x\n": syscall.EINVAL, "aggrfs-control\n": syscall.EINVAL, "aggrfs-control 1": syscall.EINVAL, "aggrfs-control 2\n": syscall.EPROTONOSUPPORT,
		"aggrfs-control 1 mine\n": syscall.EINVAL, "aggrfs-control 1 shown=x\n": syscall.EINVAL, "aggrfs-control 1 shown=1,\n": syscall.EINVAL,
	} {
		if _, _, err := CutHeader([]byte(text)); vfs.Errno(err) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzRequests: what is read as requests is written as the same.
func FuzzRequests(f *testing.F) {
	f.Add([]byte("1 120000001 signal TERM\n2 n1:-7 nice 3\n"))
	f.Add([]byte("0 1/2#3 rlimit nofile 1:unlimited"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := ParseRequests(text)
		if err != nil {
			return
		}
		var b []byte
		for _, r := range all {
			b = AppendRequest(b, r)
		}
		if len(b) > MaxBatch {
			return // one spelling can be longer than another
		}
		again, err := ParseRequests(b)
		if err != nil || !reflect.DeepEqual(all, again) {
			t.Errorf("%q: %v, %v; %v", text, all, again, err)
		}
	})
}

// FuzzAnswers: a leaf may answer anything.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("1 ok\n2 ok 0-3,7\n3 error ESRCH gone\n"))
	f.Add([]byte("aggrfs-control 1\n1 ok\n"))
	f.Add([]byte("1 error EFOO\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _, _ = CutHeader(text)
		all, err := ParseAnswers(text)
		if err != nil {
			return
		}
		for _, a := range all {
			line := AppendAnswer(nil, a)
			if bytes.Count(line, []byte("\n")) != 1 || bytes.ContainsFunc(line[:len(line)-1], func(r rune) bool { return r < ' ' || r > 0x7e }) {
				t.Errorf("%q", line)
			}
			if again, err := ParseAnswers(line); err != nil || len(again) != 1 || again[0].Errno != a.Errno || again[0].ID != a.ID {
				t.Errorf("%q: %v, %v", line, again, err)
			}
		}
	})
}

// TestAuditBounds: who does very many different things has a bounded number of lines.
func TestAuditBounds(t *testing.T) {
	var log bytes.Buffer
	a := NewAudit(slog.New(slog.NewTextHandler(&log, nil)))
	a.window = time.Hour // it ends when the test says
	for i := range 10 * maxLines {
		act, err := ParseAction([]string{"rlimit", "core", fmt.Sprintf("%d:%d", i, i)})
		if err != nil {
			t.Fatal(err)
		}
		a.Note(vfs.Identity{UID: 7}, vfs.Origin{Peer: "here"}, act, "n1", "1", 0)
	}
	kill, _ := ParseAction([]string{"kill"})
	for i := range 10000 {
		a.Note(vfs.Identity{UID: 8}, vfs.Origin{}, kill, "n1", fmt.Sprint(1000000+i), syscall.EPERM)
	}
	a.Flush()
	if n := strings.Count(log.String(), "\n"); n != maxLines+2 || !strings.Contains(log.String(), fmt.Sprintf("uid=7 left_out=%d done=%[1]d targets=", 9*maxLines)) {
		t.Errorf("%d lines", n)
	}
	// Who has filled the window keeps nothing that another one does out of the log.
	if !strings.Contains(log.String(), "uid=8 gid=0 cert=\"\" peer=\"\" peer_cert=\"\" action=\"signal KILL\" node=n1") || !strings.Contains(log.String(), "result=EPERM count=10000") {
		t.Error("the other user is not in the log")
	}
	log.Reset()
	for uid := range uint32(2 * maxUsers) {
		for i := range 2 * ownLines {
			act, _ := ParseAction([]string{"rlimit", "core", fmt.Sprintf("%d:%d", i, i)})
			a.Note(vfs.Identity{UID: 10000 + uid}, vfs.Origin{}, act, "n1", "1", syscall.EPERM)
		}
	}
	a.Note(vfs.Root, vfs.Origin{}, kill, "n1", "77", 0)
	a.Flush()
	if n := strings.Count(log.String(), "\n"); n > maxLines+maxUsers*(ownLines+1)+2 || !strings.Contains(log.String(), "uid=0") || !strings.Contains(log.String(), "actions of other users") {
		t.Errorf("%d lines of very many users", n)
	}
	log.Reset()
	for i := range 10000 {
		a.Note(vfs.Identity{UID: 8}, vfs.Origin{}, kill, "n1", fmt.Sprint(1000000+i), syscall.EPERM)
	}
	a.Flush()
	if n := strings.Count(log.String(), "\n"); n != 1 || log.Len() > 2*maxTargets || !strings.Contains(log.String(), "result=EPERM count=10000") {
		t.Errorf("%d lines: %s", n, log.String())
	}
}
