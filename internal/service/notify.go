package service

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// A Manager is the service manager that runs this process, or none. Its methods may be called
// concurrently.
type Manager struct {
	log *slog.Logger
	// interval is how often the manager wants to hear that the process is alive; 0: it does not.
	interval time.Duration
}

// NewManager is the service manager that the environment names.
func NewManager(log *slog.Logger) *Manager {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the service manager's watchdog is not told that this process is alive: $WATCHDOG_USEC and $WATCHDOG_PID cannot be read", "err", err)
	}
	return &Manager{log: log, interval: interval}
}

// Ready says that the daemon has started, or has reloaded its configuration.
func (m *Manager) Ready() { m.say(daemon.SdNotifyReady) }

// Reloading says that the daemon reloads its configuration; Ready follows.
func (m *Manager) Reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	m.say(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

// Stopping says that the daemon ends.
func (m *Manager) Stopping() { m.say(daemon.SdNotifyStopping) }

// Status says in a line how the daemon is.
func (m *Manager) Status(text string) { m.say("STATUS=" + text) }

func (m *Manager) say(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("the service manager is not told of the state", "state", state, "err", err)
	}
}

// Watch says that the process is alive for as long as it is, until ctx ends: alive is asked
// twice in the time within which the manager wants to hear of it. What does not answer by then
// is not alive, and the manager ends the process and starts it anew. Where no manager wants to
// hear of it, it returns at once.
func (m *Manager) Watch(ctx context.Context, alive func(context.Context) error) {
	if m.interval <= 0 {
		return
	}
	tick := time.NewTicker(m.interval / 2)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, m.interval/2)
		err := alive(asking)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			m.log.Error("the server does not answer itself; the service manager will start it anew", "err", err)
		default:
			m.say(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
