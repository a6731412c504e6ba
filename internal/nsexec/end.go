package nsexec

import (
	"os"
	"time"
)

// end lets go of the watcher and waits until it has taken the tree away.
// Nothing of the session is left then but what the command left behind.
func (s *session) end() {
	for _, p := range []pipe{s.stage, s.watcher} {
		if p.file != nil {
			p.file.Close()
		}
	}
	if s.watcherPID == 0 {
		return
	}
	watcher, err := os.FindProcess(s.watcherPID)
	if err != nil {
		s.spec.Log.Error("the watcher cannot be waited for", "pid", s.watcherPID, "err", err)
		return
	}
	kill := time.AfterFunc(sweepDeadline, func() { watcher.Kill() })
	defer kill.Stop()
	state, err := watcher.Wait()
	switch {
	case err != nil:
		s.spec.Log.Error("the watcher cannot be waited for", "pid", s.watcherPID, "err", err)
	case !state.Success() && s.process != nil:
		s.spec.Log.Error("processes that the command left may have a /proc that answers nothing: the watcher failed",
			"pid", s.watcherPID, "state", state.String())
	}
}

// deadline bounds what is left of the exchange.
func (s *session) deadline(t time.Time) {
	for _, p := range []pipe{s.stage, s.watcher} {
		if p.file != nil {
			p.file.SetDeadline(t)
		}
	}
}

// kill ends the stage, which has not become the command yet, or the command if
// the helper has started it.
func (s *session) kill() {
	if s.process == nil && s.told {
		s.deadline(time.Now().Add(setupDeadline))
		s.started() // or there is none
	}
	if s.process != nil {
		s.process.Kill()
		s.process.Wait()
	}
}

// withFD calls f with the file's descriptor and leaves its blocking mode alone,
// which File.Fd does not.
func withFD(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
