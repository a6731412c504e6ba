// Package munge decodes credentials of MUNGE, by the program unmunge(1) and so by the
// daemon munged(8) of this machine: it knows the key, and which credentials it has seen.
package munge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/aggrfs/aggrfs/internal/command"
	"github.com/aggrfs/aggrfs/internal/trusted"
)

// A Decoder is how to reach the daemon.
type Decoder struct {
	// Program is the path of unmunge; "" is the first of the usual ones that there is.
	Program string
	// Socket is the daemon's; "" is the usual one.
	Socket string
}

// programs are where unmunge is looked for. It says who somebody is, so it is never
// looked for where a variable of the environment says, and it is none that others than
// root and this program's user can have written.
var programs = []string{"/usr/bin/unmunge", "/usr/local/bin/unmunge"}

// program is the path of unmunge.
func (d Decoder) program() (string, error) {
	look := programs
	if d.Program != "" {
		look = []string{d.Program}
	}
	for _, path := range look {
		err := trusted.CheckProgram(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return path, err
	}
	return "", fmt.Errorf("there is no unmunge at %s: install MUNGE", strings.Join(look, ", "))
}

// running bounds how many programs run at once, whoever sends credentials.
var running = semaphore.NewWeighted(8)

// maxOutput bounds what is taken from the program, in bytes.
const maxOutput = 64 << 10

// Decode says who made a credential: the effective user and group of the process that
// did. A credential is good once, and for some minutes (its maker says how long). It
// returns soon after ctx ends.
func (d Decoder) Decode(ctx context.Context, credential []byte) (uid, gid uint32, err error) {
	// The daemon takes one in text form and no other.
	text := bytes.TrimRight(credential, "\n\x00")
	if !bytes.HasPrefix(text, []byte("MUNGE:")) || bytes.IndexByte(text, 0) >= 0 {
		return 0, 0, errors.New("it is none of MUNGE's")
	}
	if err := running.Acquire(ctx, 1); err != nil {
		return 0, 0, fmt.Errorf("too many others are being decoded: %w", err)
	}
	defer running.Release(1)
	program, err := d.program()
	if err != nil {
		return 0, 0, err
	}
	argv := []string{"--keys=STATUS,UID,GID"}
	if d.Socket != "" {
		argv = append(argv, "--socket="+d.Socket)
	}
	cmd := exec.CommandContext(ctx, program, argv...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.WaitDelay = time.Second
	cmd.Stdin = bytes.NewReader(text)
	out, stderr := &command.Limited{Max: maxOutput}, &command.Limited{Max: maxOutput}
	cmd.Stdout, cmd.Stderr = out, stderr
	ran := cmd.Run()
	if uid, gid, err = parse(out.String()); err != nil {
		if why, _, _ := strings.Cut(stderr.String(), "\n"); why != "" {
			err = fmt.Errorf("%q", why)
		}
	}
	if err == nil {
		err = ran
	}
	if err != nil && len(out.Bytes())+len(stderr.Bytes()) == 0 {
		err = ran
	}
	return uid, gid, err
}

// parse reads what unmunge prints: lines of a key and a value, which is a word and a
// number, "root (0)", up to an empty one; and behind that what else is in the
// credential.
func parse(text string) (uid, gid uint32, err error) {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			break
		}
		if _, twice := values[key]; !twice {
			values[key] = strings.TrimSpace(value)
		}
	}
	if status := values["STATUS"]; number(status) != "0" {
		return 0, 0, fmt.Errorf("unmunge says %q", status)
	}
	ids := [2]uint32{}
	for i, key := range []string{"UID", "GID"} {
		n, err := strconv.ParseUint(number(values[key]), 10, 32)
		if err != nil {
			return 0, 0, fmt.Errorf("unmunge says that %s is %q", key, values[key])
		}
		ids[i] = uint32(n)
	}
	return ids[0], ids[1], nil
}

// number is what is in the brackets at the end of a value.
func number(value string) string {
	inside, ok := strings.CutSuffix(value, ")")
	if !ok {
		return ""
	}
	return inside[strings.LastIndexByte(inside, '(')+1:]
}
