package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/wait"
)

// A command is spoken with, without a right, and ends with the conversation: it and what it has
// left behind.
func TestTalk(t *testing.T) {
	for what, end := range map[string]func(*Conn){
		"closed":        func(c *Conn) { c.Close() },
		"it ends first": func(c *Conn) { fmt.Fprintln(c, "end") },
	} {
		mark := fmt.Sprintf("8126.%d", os.Getpid())
		c, err := Start(sh("(setsid sleep "+mark+" &); grep CapPrm /proc/self/status; while read a && [ $a != end ]; do echo got $a; done", slurm))
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprint(c, "a\nb\n")
		want := "CapPrm:\t0000000000000000\ngot a\ngot b\n"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
		wait.Until(t, "what it leaves is there", func() bool { return alive(t, mark) })
		end(c)
		if _, err := c.Read(got); err == nil || what == "it ends first" && err != io.EOF {
			t.Errorf("%s: %v", what, err)
		}
		if alive(t, mark) {
			t.Errorf("%s: something is left", what)
		}
		c.Close()
	}
}

// The end of the conversation says what became of the command.
func TestTalkEnds(t *testing.T) {
	for script, want := range map[string]string{
		"echo no >&2; exit 3": "exited 3: no",
		"kill -9 $$":          "killed by SIGKILL",
	} {
		c, err := Start(sh(script, nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Read(make([]byte, 1))
		if e := (*Error)(nil); !errors.As(err, &e) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", script, err)
		}
		c.Close()
	}
	c, err := Start(Spec{Argv: []string{"/no/such/program"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "there is no /no/such/program") {
		t.Errorf("a program that is not there: %v", err)
	}
	if err := c.Gave("it is like that"); !strings.Contains(err.Error(), "it is like that") {
		t.Error(err)
	}
}
