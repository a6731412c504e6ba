module github.com/aggrfs/aggrfs/test/peers

go 1.26.0

require (
	github.com/aggrfs/aggrfs v0.0.0
	github.com/maypok86/otter/v2 v2.4.0
)

require (
	github.com/goccy/go-yaml v1.19.2 // indirect
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/aggrfs/aggrfs => ../..
