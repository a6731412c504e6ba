package cluster

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/aggrfs/aggrfs/internal/command"
)

func TestMain(m *testing.M) {
	command.Stage()
	goleak.VerifyTestMain(m)
}
