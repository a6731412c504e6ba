//go:build race

package e2e

// buildFlags are for the programs under test, which look for races where the tests do.
var buildFlags = []string{"-race"}
