// Package rules has no code of its own: its tests hold the project to what its
// documents promise about itself. Packages import what docs/architecture.md
// draws, and are small enough to be read; every package teaches its model in its
// comment, every exported name is explained, comments and names use the terms of
// the glossary, and every dependency is on the list in docs/dependencies.md with
// its version and its reason.
//
// A test that fails names the place. If the rule is what is wrong, it is the
// table in the test that changes, together with the document.
package rules
