package main

import (
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/fakefront"
)

// fakeFront serves files of cluster/, by their paths in it, as the front end of this
// machine until the test ends.
func fakeFront(t *testing.T, files map[string]string) *vfstest.Tree {
	t.Helper()
	elsewhere(t)
	return fakefront.Serve(t, strings.TrimPrefix(defaultServer, "unix:"), files)
}
