package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
)

// watchInterval is how often the configuration is looked at for changes.
// inotify(7) would tell at once, but not of what changes on a file server.
const watchInterval = time.Second

// rights keeps what is in force of a configuration that says who sees what, and
// what is kept: it is read again when it changes, and on SIGHUP, with the files that
// it names. A configuration that is wrong is refused as a whole, and what was in
// force stays.
type rights struct {
	path      string // of the configuration
	inForce   *config.Config
	authority *access.Authority
	setPolicy func(*cachepolicy.Policy)
	note      func(what string, err error)         // of what is wrong, for cluster/status
	warn      func(what string, warnings []string) // of what deserves a look
	users     *userdb.DB
	log       *slog.Logger

	stop      context.CancelFunc // ends the following of allocations
	following sync.WaitGroup
	outside   outside

	stopDoubting context.CancelFunc // ends the look at what the configuration names
	doubting     sync.WaitGroup
}

// follow keeps the rights up to date until ctx ends.
func (r *rights) follow(ctx context.Context) {
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	r.followAllocations(ctx)
	defer r.endAllocations()
	r.doubt(ctx)
	defer r.endDoubting()
	seen := r.fingerprint()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangUp:
			if r.path == "" {
				continue
			}
			seen = r.fingerprint()
		case <-tick.C:
			r.outside.look(r.authority.Allocations(), r.inForce.Names, r.log)
			now := r.fingerprint()
			if r.path == "" || now == seen {
				continue
			}
			seen = now
		}
		r.reload(ctx)
	}
}

// reload reads the configuration and puts it in force if it is good.
func (r *rights) reload(ctx context.Context) {
	fresh, err := config.Load(r.path)
	if err != nil {
		r.log.Error("the configuration is refused; what was in force stays", "err", err)
		r.note(aggregate.NoteConfiguration, err)
		return
	}
	policy, err := policyOf(fresh)
	if err != nil {
		r.log.Error("the cache policy is refused, and the configuration with it; what was in force stays", "err", err)
		r.note(aggregate.NotePolicy, err)
		return
	}
	r.endDoubting()
	r.note(aggregate.NoteConfiguration, nil)
	r.note(aggregate.NotePolicy, nil)
	r.setPolicy(policy)
	old := r.inForce
	r.inForce = fresh
	r.authority.SetRules(fresh.Access)
	warn(r.log, fresh, policy)
	r.log.Info("the configuration is in force", "policy", policy.Name, "views", len(fresh.Access.Views), "admins", len(fresh.Access.Admins))
	if !reflect.DeepEqual(old.Allocations, fresh.Allocations) {
		r.endAllocations()
		r.followAllocations(ctx)
	}
	r.doubt(ctx)
	if !sameRest(old, fresh) {
		r.log.Warn("the configuration has changed in more than who sees what: restart to put that in force")
	}
}

// sameRest tells whether two configurations differ in nothing but who sees what.
func sameRest(a, b *config.Config) bool {
	x, y := *a, *b
	x.Access, y.Access = access.Rules{}, access.Rules{}
	x.Allocations, y.Allocations = nil, nil
	x.Mentions, y.Mentions = nil, nil
	x.Cache, y.Cache, x.Policy, y.Policy = nil, nil, "", ""
	return reflect.DeepEqual(x, y)
}

func (r *rights) followAllocations(ctx context.Context) {
	if r.inForce.Allocations == nil {
		r.authority.NoSource()
		return
	}
	ctx, r.stop = context.WithCancel(ctx)
	src, log := *r.inForce.Allocations, lograte.ByMessage(r.log) // users cause allocations
	r.following.Go(func() { access.Follow(ctx, r.authority, src, log) })
}

func (r *rights) endAllocations() {
	if r.stop != nil {
		r.stop()
		r.following.Wait()
		r.stop = nil
	}
}

// doubtTime is how long the user database may take for all that a configuration names.
const doubtTime = time.Minute

// doubt warns of what in the configuration in force is likely to be a mistake. Nothing
// waits for it: the user database may take its time.
func (r *rights) doubt(ctx context.Context) {
	ctx, r.stopDoubting = context.WithTimeout(ctx, doubtTime)
	cfg := r.inForce
	r.doubting.Go(func() {
		doubts := cfg.Doubts(ctx, r.users, cachepolicy.Unmatched)
		if errors.Is(ctx.Err(), context.Canceled) {
			return
		}
		for _, text := range doubts {
			r.log.Warn(text)
		}
		if len(doubts) > 0 {
			r.warn(aggregate.NoteConfiguration, doubts)
		}
	})
}

func (r *rights) endDoubting() {
	r.stopDoubting()
	r.doubting.Wait()
}

// fingerprint changes when the configuration, a file of its views or the policy does.
func (r *rights) fingerprint() string {
	path := r.path
	if path == "" {
		return ""
	}
	var b strings.Builder
	note := func(file string) {
		st, err := os.Lstat(file)
		if err != nil {
			fmt.Fprintln(&b, file, err)
			return
		}
		fmt.Fprintln(&b, file, st.Mode(), st.Size(), st.ModTime().UnixNano(), st.Sys().(*syscall.Stat_t).Ino)
	}
	note(path)
	if r.inForce.Policy != "" {
		note(r.inForce.Policy)
	}
	dir := filepath.Join(filepath.Dir(path), config.ViewsDir)
	note(dir)
	entries, _ := os.ReadDir(dir) // a directory that is not there says so in its note
	for _, e := range entries {
		note(filepath.Join(dir, e.Name()))
	}
	return b.String()
}
