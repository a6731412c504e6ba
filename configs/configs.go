// Package configs holds the configurations that come with the programs, as files
// to read and to copy.
package configs

import _ "embed"

// CachePolicy is cachepolicy.yaml, the cache policy that is in force where no other
// is given.
//
//go:embed cachepolicy.yaml
var CachePolicy []byte
