package remotecalls

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// act asks the process's node for an action, or for what the tree does not tell, as the caller,
// who needs the capability to do it as root. either is whether the real user will do as well as the
// effective one. An action is carried out once for each call, whatever becomes of its answer.
func (c *callOf) act(ctx context.Context, target, verb string, capability uint, either bool) (value string, errno unix.Errno) {
	if target == "" {
		return "", unix.EIO
	}
	a, mine := c.s.once.begin(c.who, c.n, verb)
	if a != nil {
		c.action = a
	}
	if !mine {
		select {
		case <-a.done:
			return a.value, a.errno
		case <-ctx.Done():
			return "", unix.EHOSTDOWN
		}
	}
	errno = unix.EPERM
	for _, who := range c.who.acts(capability, either) {
		if value, errno = c.ask(ctx, who, target, verb); errno != unix.EPERM {
			break
		}
	}
	a.end(value, errno)
	return value, errno
}

// does is act for a call that returns 0.
func (c *callOf) does(ctx context.Context, target, verb string, capability uint, either bool) seccomp.Answer {
	_, errno := c.act(ctx, target, verb, capability, either)
	if errno == 0 && !strings.HasPrefix(verb, "sig") {
		c.s.acted.note(target)
	}
	return fails(errno)
}

// ask makes one request of cluster/ctl.
func (c *callOf) ask(ctx context.Context, who vfs.Identity, target, verb string) (value string, errno unix.Errno) {
	root, err := c.s.cfg.Tree(ctx, who, true)
	var ctl vfs.Node
	if err == nil {
		ctl, _, err = vfs.WalkPath(ctx, root, "cluster", "ctl")
	}
	var h vfs.Handle
	if err == nil {
		h, err = ninep.OpenRW(ctx, ctl)
	}
	if err != nil {
		switch errno := vfs.Errno(err); errno {
		case unix.ENOENT, unix.EACCES, unix.EPERM, unix.EROFS:
			return "", unix.EPERM // control is not allowed
		}
		return "", absent(err)
	}
	defer h.Close()
	// From here on nothing is tried again: it may have been done.
	if _, err := h.(vfs.Writer).WriteAt(ctx, fmt.Appendf(nil, "1 %s %s\n", target, verb), 0); err != nil {
		return "", absent(err)
	}
	text, err := vfs.ReadAll(ctx, h, maxFile)
	if err != nil {
		return "", absent(err)
	}
	return parseAnswer(string(text))
}

// parseAnswer reads the line that answers request 1: "1 ok [VALUE]" or "1 error ERRNO TEXT".
func parseAnswer(text string) (value string, errno unix.Errno) {
	line, _, whole := strings.Cut(text, "\n")
	id, rest, _ := strings.Cut(line, " ")
	how, rest, _ := strings.Cut(rest, " ")
	if id != "1" || !whole {
		return "", unix.EIO
	}
	switch how {
	case "ok":
		return rest, 0
	case "error":
		name, _, _ := strings.Cut(rest, " ")
		if errno := errnos[name]; errno != 0 {
			return "", errno
		}
	}
	return "", unix.EIO
}

// errnos are the error numbers by name.
var errnos = func() map[string]unix.Errno {
	all := make(map[string]unix.Errno)
	for n := unix.Errno(1); n < 200; n++ {
		if name := unix.ErrnoName(n); name != "" {
			all[name] = n
		}
	}
	return all
}()
