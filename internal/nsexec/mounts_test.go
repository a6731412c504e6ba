package nsexec

import "testing"

// A stage that was not started by Run must not touch the machine's mounts.
func TestStageWantsItsOwnNamespace(t *testing.T) {
	if err := inOwnNamespace(DefaultAside); err == nil {
		t.Error("this process, which shares its parent's namespace, was let on")
	}
}
