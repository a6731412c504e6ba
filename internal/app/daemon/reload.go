package daemon

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/app/cluster"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/filewatch"
	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/internal/service"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// watchInterval is how often the configuration is looked at for changes.
const watchInterval = time.Second

// A reloader puts in force what a configuration says about who sees what, and about what is
// cached: it is read again when it changes, and on SIGHUP, with the files that it names. A
// configuration that is wrong is refused as a whole, and what was in force stays.
type reloader struct {
	path      string         // of the configuration; "" is none
	started   *config.Config // what the daemon was started with
	inForce   *config.Config
	authority *access.Authority
	cluster   *aggregate.Cluster // takes the policy, and notes and warnings for cluster/status
	users     *userdb.DB
	manager   *service.Manager
	log       *slog.Logger

	allocations, doubts task
	strange             strangeNodes
	waiting             atomic.Pointer[[]string] // keys whose changes wait for a restart; nil is none
}

// A task is work that can be ended, and started again.
type task struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// start starts the work, which lasts until its context ends.
func (t *task) start(ctx context.Context, do func(context.Context)) {
	ctx, t.cancel = context.WithCancel(ctx)
	t.work.Go(func() { do(ctx) })
}

// end ends the work and waits for it. Where none was started it does nothing.
func (t *task) end() {
	if t.cancel != nil {
		t.cancel()
		t.work.Wait()
	}
}

// follow keeps what is in force up to date until ctx ends.
func (r *reloader) follow(ctx context.Context) {
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	r.followAllocations(ctx)
	defer r.allocations.end()
	r.doubt(ctx)
	defer r.doubts.end()
	var watch filewatch.Watch
	watch.Changed(r.files()...)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangUp:
			watch.Changed(r.files()...)
		case <-tick.C:
			r.strange.look(r.authority.Allocations(), r.inForce.Names, r.log)
			if !watch.Changed(r.files()...) {
				continue
			}
		}
		if r.path != "" {
			r.reload(ctx)
		}
	}
}

// reload reads the configuration and puts it in force if it is good.
func (r *reloader) reload(ctx context.Context) {
	r.manager.Reloading()
	defer r.manager.Ready()
	fresh, err := config.Load(r.path)
	if err != nil {
		r.log.Error("the configuration is refused; what was in force stays", "err", err)
		r.cluster.Note(aggregate.NoteConfiguration, err)
		return
	}
	policy, err := cluster.Policy(fresh)
	if err != nil {
		r.log.Error("the cache policy is refused, and the configuration with it; what was in force stays", "err", err)
		r.cluster.Note(aggregate.NotePolicy, err)
		return
	}
	r.doubts.end()
	r.cluster.Note(aggregate.NoteConfiguration, nil)
	r.cluster.Note(aggregate.NotePolicy, nil)
	r.cluster.InForce(r.path)
	r.cluster.SetPolicy(policy)
	old := r.inForce
	r.inForce = fresh
	r.authority.SetRules(fresh.Access)
	warn(r.log, fresh, policy)
	r.log.Info("the configuration is in force", "policy", policy.Name, "views", len(fresh.Access.Views), "admins", len(fresh.Access.Admins))
	if !reflect.DeepEqual(old.Allocations, fresh.Allocations) {
		r.allocations.end()
		r.followAllocations(ctx)
	}
	r.doubt(ctx)
	keys := r.started.Waiting(fresh)
	if r.waiting.Store(&keys); len(keys) > 0 {
		r.log.Warn("the configuration has changes that take effect after a restart only: restart aggrfs", "keys", keys)
	}
}

func (r *reloader) followAllocations(ctx context.Context) {
	if r.inForce.Allocations == nil {
		r.authority.NoSource()
		return
	}
	src, log := *r.inForce.Allocations, lograte.ByMessage(r.log) // users cause allocations
	r.allocations.start(ctx, func(ctx context.Context) { access.Follow(ctx, r.authority, src, log) })
}

// doubtTime is how long the user database may take for all that a configuration names.
const doubtTime = time.Minute

// doubt warns of what in the configuration in force is likely to be a mistake. Nothing
// waits for it: the user database may take its time.
func (r *reloader) doubt(ctx context.Context) {
	cfg := r.inForce
	r.doubts.start(ctx, func(ctx context.Context) {
		asking, cancel := context.WithTimeout(ctx, doubtTime)
		defer cancel()
		doubts := cfg.Doubts(asking, r.users, cachepolicy.Unmatched)
		if ctx.Err() != nil {
			return
		}
		for _, text := range doubts {
			r.log.Warn(text)
		}
		if len(doubts) > 0 {
			r.cluster.Warn(aggregate.NoteConfiguration, doubts)
		}
	})
}

// files are those that the configuration in force was read from: its own, those of its views
// and the policy's. A directory is among them for files that are new.
func (r *reloader) files() []string {
	if r.path == "" {
		return nil
	}
	dir := filepath.Join(filepath.Dir(r.path), config.ViewsDir)
	files := []string{r.path, dir}
	if r.inForce.Policy != "" {
		files = append(files, r.inForce.Policy)
	}
	entries, _ := os.ReadDir(dir) // a directory that is not there is watched as such
	for _, e := range entries {
		files = append(files, filepath.Join(dir, e.Name()))
	}
	return files
}

// warn logs what deserves a look in a configuration and the policy that it names.
func warn(log *slog.Logger, cfg *config.Config, policy *cachepolicy.Policy) {
	for _, w := range cfg.Warnings() {
		log.Warn(w)
	}
	for _, w := range policy.UnknownNodes(cfg.Names()) {
		log.Warn(w)
	}
}

// strangeNodes are nodes that allocations name and the cluster does not have. Each is logged
// once: a partition may be another cluster's, or names may be written otherwise there, and
// then users see none of their nodes.
type strangeNodes struct {
	seen []access.Allocation // at the last look
	told map[string]bool
}

// look logs what is new. It calls names, for those of the cluster, only if the allocations
// have changed.
func (s *strangeNodes) look(all []access.Allocation, names func() nodeset.Set, log *slog.Logger) {
	if len(all) == len(s.seen) && (len(all) == 0 || &all[0] == &s.seen[0]) {
		return
	}
	s.seen = all
	if s.told == nil {
		s.told = map[string]bool{}
	}
	known := names()
	here := make(map[string]bool, known.Len())
	for name := range known.All() {
		here[name] = true
	}
	var fresh []string
	for _, allocation := range all {
		for name := range allocation.Nodes.All() {
			if here[name] || s.told[name] || len(s.told) >= nodeset.MaxNames {
				continue
			}
			s.told[name] = true
			fresh = append(fresh, name)
		}
	}
	if len(fresh) > 0 {
		log.Warn("allocations name nodes that are not in the cluster", "nodes", nodeset.Of(fresh...).Unknown(known))
	}
}
