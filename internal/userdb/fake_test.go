package userdb

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aggrfs/aggrfs/test/wait"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nobody is an os/user that knows nobody.
var nobody = local{
	user:    func(name string) (*user.User, error) { return nil, user.UnknownUserError(name) },
	userID:  func(string) (*user.User, error) { return nil, user.UnknownUserIdError(1) },
	group:   func(name string) (*user.Group, error) { return nil, user.UnknownGroupError(name) },
	groupID: func(id string) (*user.Group, error) { return nil, user.UnknownGroupIdError(id) },
	groups:  func(*user.User) ([]string, error) { return nil, errors.New("no groups") },
}

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A fake is a getent that is a script. Each run leaves a line in a file.
type fake struct {
	*DB
	clock *clock
	dir   string
}

// newFake makes a database that has only the script; $1 and $2 are getent's
// arguments, and the directory that it shares with the test is the script's $D.
func newFake(t *testing.T, cfg Config, script string) *fake {
	t.Helper()
	f := &fake{dir: t.TempDir(), clock: &clock{now: time.Unix(1e9, 0)}}
	cfg.Getent, cfg.Now = filepath.Join(f.dir, "getent"), f.clock.Now
	text := "#!/bin/sh\nD='" + f.dir + "'\nprintf '%s %s %s\\n' $# \"$1\" \"$2\" >> $D/asked\n" + script + "\n"
	if err := os.WriteFile(cfg.Getent, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	f.DB = New(cfg)
	f.local = nobody
	return f
}

// runs are those of the script.
func (f *fake) runs(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, "asked"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' })
}

// directory answers as a name service with one user and one group.
const directory = `case "$1 $2" in
"passwd alice" | "passwd 70001" | "passwd ALICE") echo "alice:*:70001:70000:Alice A.:/home/alice:/bin/sh" ;;
"initgroups alice") echo "alice                 70000 70003 70002 70003" ;;
"group hpc" | "group 70002") echo "hpc:*:70002:alice,bob" ;;
"passwd badline") echo "badline:*:70001" ;;
"passwd baduid") echo "baduid:*:-5:1::/:" ;;
"passwd nobodys") echo "nobodys:*:4294967295:1::/:" ;;
"passwd 70009") echo "alice:*:70001:70000::/:" ;;
"passwd evil") printf 'e\033vil:*:1:1::/:\n' ;;
"initgroups mallory") echo "mallory2 1 2" ;;
"initgroups eve") echo "eve 1 x" ;;
"passwd broken") echo "no service" >&2; exit 7 ;;
initgroups*) echo "$2 " ;;
*) exit 2 ;;
esac`

// waitFor polls.
func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	wait.Until(t, what, f)
}
