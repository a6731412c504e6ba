package userdb

import (
	"context"
	"os"
	"strings"

	"github.com/aggrfs/aggrfs/internal/spelling"
)

// UserNames are names of users, for a suggestion: not all that there are, since many a
// name service does not list them. It takes as long as a question.
func (d *DB) UserNames(ctx context.Context) []string { return d.list(ctx, "passwd", "/etc/passwd") }

// GroupNames is UserNames for groups.
func (d *DB) GroupNames(ctx context.Context) []string { return d.list(ctx, "group", "/etc/group") }

// NearestUser is the user's name that another was probably meant to be, or "".
func (d *DB) NearestUser(ctx context.Context, name string) string {
	return spelling.Nearest(name, d.UserNames(ctx))
}

// NearestGroup is NearestUser for groups.
func (d *DB) NearestGroup(ctx context.Context, name string) string {
	return spelling.Nearest(name, d.GroupNames(ctx))
}

func (d *DB) list(ctx context.Context, database, file string) []string {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	var text string
	if out, _, _ := d.run(ctx, d.rights, database); out != nil {
		text = out.b.String() // of too many the first
	}
	local, _ := os.ReadFile(file) // where there is none, it has none
	seen := map[string]bool{}
	var names []string
	for line := range strings.Lines(text + "\n" + string(local)) {
		name, _, entry := strings.Cut(line, ":")
		if entry && validName(name) && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}
