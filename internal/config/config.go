// Package config reads the configuration of "aggrfs serve".
//
// # The file
//
//	version: 1
//	listen: ["unix:/run/aggrfs/aggrfs.sock"]   # where this tree is served
//	tls: {cert: FILE, key: FILE, ca: FILE}     # this machine's certificate, for tls: addresses of either kind
//	front_ends: []                             # names of certificates that may speak for any user
//	certificates: {}                           # NAME: USER, whom another certificate stands for
//	state: /var/lib/aggrfs/gpids.json          # the nodes' indexes, kept over restarts
//	gpids: fixed                               # or paged, for more than 213 nodes
//	head: ""                                   # this machine's name; "" is its short host name
//	nodes:
//	  - {nodes: "n[001-128]", address: "tls:%s:5640"}
//	  - {nodes: gpu1, address: "unix:/run/aggrfs-nodes/gpu1.sock"}
//	  - {nodes: plan9, address: "unix:/run/plan9.sock", kind: 9p2000, aname: "", uname: none}
//	  - {nodes: "m[1-4]", address: "exec:ssh -o BatchMode=yes -- %s procsrv --stdio", user: aggrfs}
//	timeouts: {connect: 2s, read: 2s, sweep: 1s}
//	max_processes: 65536                       # how many a node may have
//	policy: ""                                 # the cache policy, a file; "" is the built-in one
//	cgroup_node: true                          # paths in <pid>/cgroup of other nodes begin with /<node>.slice
//	proc: /proc                                # this machine's procfs
//	native: /proc                              # where readers have it, which self and other links name
//	insecure: false                            # whether tcp: is allowed
//	munge: false                               # whether credentials of MUNGE say who attaches
//	metrics: {listen: "unix:/run/aggrfs/metrics.sock", interval: 15s, names: false}   # for Prometheus; none otherwise
//	control: none                              # what root and admins may do to processes: none, own or all
//	admins: {users: [ann], groups: [ops]}      # who sees everything, besides root
//	views:                                     # the first that is for somebody counts
//	  - {users: "*", nodes: allocated, processes: own, control: own}
//	allocations: {file: /var/lib/aggrfs/allocations}   # or {command: [/usr/bin/squeue, ...], user: slurm}
//
// Further views come from views.d/*.yaml beside the file, each with the key views
// alone, behind those of the file itself.
//
// Only version must be given; the values above (and no nodes) are what the
// others are otherwise; tls has no default. Nodesets are those of package nodeset; "%s" in an
// address is the node's name. This machine is the head, node 0, and is not
// listed under nodes.
//
// # Errors
//
// All mistakes of a file are found in one go ([strict.Errors]), each with line,
// column, and a caret under the place. A file with a mistake gives no Config.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/config/strict"
	"github.com/aggrfs/aggrfs/internal/trusted"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// Version is the version of the file format that this package reads.
const Version = 1

// A Config says what to serve and where from. It is not changed once made.
type Config struct {
	Listen    []string // addresses, see CheckAddress
	TLS       TLS      // zero where no address needs it
	FrontEnds []string // names of certificates that may speak for any user
	// Certificates maps names of other certificates to a user's name or number,
	// which need not exist.
	Certificates map[string]string
	State        string // an absolute path
	GPIDs        string // "fixed" or "paged"
	Head         string // the name of this machine, never empty
	Nodes        []Node // in the order of the file, and of each nodeset there
	Timeouts     Timeouts
	MaxProcesses int // that a node may have; one with more is left out
	// Policy is the file of the cache policy, an absolute path; "" is the built-in
	// one. Cache is in place of one: how long the files of a sweep are good, and
	// nothing else is cached. Nil is that Policy says.
	Policy     string
	Cache      *time.Duration
	CgroupNode bool
	Proc       string // an absolute path
	Insecure   bool
	Munge      bool     // credentials of MUNGE are taken
	Native     string   // an absolute path, as readers see it
	Metrics    *Metrics // nil is that there are none

	Access      access.Rules
	Allocations *access.Source // nil is none

	// Mentions are the names that Doubts looks at.
	Mentions Mentions
}

// TLS names this machine's PEM files, by absolute paths. Whether they are there is
// not looked at.
type TLS struct {
	Cert string // the certificate, shown to nodes and to clients alike
	Key  string // its private key
	CA   string // the CAs by which the other side is judged
}

// Metrics say how figures are served to Prometheus.
type Metrics struct {
	Listen       string        // see CheckAddress
	Interval     time.Duration // between two looks at the nodes
	Names        bool          // of users, jobs and commands too
	Certificates []string      // names of those that may come, where Listen is tls:
}

// A Node is one machine besides the head.
type Node struct {
	Name    string
	Address string // see CheckNodeAddress
	Foreign bool   // it is no procsrv, but any 9P server of a /proc
	Behind  bool   // it is a node of the aggrfs that listens at Address
	Aname   string // what to attach to there
	Uname   string // as whom to attach there, by name
	// Command is the program and the arguments of an exec: address, nil for any other; it runs as
	// User, a user's name or number, or as package command has it where that is "".
	Command []string
	User    string
}

// Timeouts bound each exchange with a node. None is zero.
type Timeouts struct {
	Connect time.Duration // to connect, and to attach
	Read    time.Duration // for one file or listing
	Sweep   time.Duration // for one snapshot of a node
}

// Default is the configuration of a head node alone.
func Default() *Config {
	return &Config{
		Listen:   []string{"unix:/run/aggrfs/aggrfs.sock"},
		State:    "/var/lib/aggrfs/gpids.json",
		GPIDs:    "fixed",
		Head:     hostName(),
		Timeouts: Timeouts{Connect: 2 * time.Second, Read: 2 * time.Second, Sweep: time.Second},

		MaxProcesses: 65536,

		CgroupNode: true,
		Proc:       "/proc",
		Native:     "/proc",
	}
}

// hostName is the host name up to its first dot, or "head" where that cannot
// be a node's name.
func hostName() string {
	full, err := os.Hostname()
	short, _, _ := strings.Cut(full, ".")
	if err != nil || !isName(short) {
		return "head"
	}
	return short
}

// isName reports whether s is the name of one node.
func isName(s string) bool {
	set, err := nodeset.Parse(s)
	return err == nil && set.Len() == 1 && set.Contains(s)
}

// Load reads the file at path, and views.d beside it, as a service does that
// decides about others' rights by them: each must be a trusted file, see package
// trusted.
func Load(path string) (*Config, error) {
	if dir := filepath.Join(filepath.Dir(path), ViewsDir); isDir(dir) {
		if err := trusted.CheckDir(dir); err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
	}
	return load(path, func(path string) ([]byte, error) { return trusted.ReadFile(path, strict.MaxSize) })
}

// LoadOwn is Load for a process that serves nobody but its own user, who may read
// whatever file they name.
func LoadOwn(path string) (*Config, error) { return load(path, os.ReadFile) }

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

func load(path string, read func(string) ([]byte, error)) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var wrong []error
	c, err := Parse(path, data)
	if err != nil {
		wrong = append(wrong, err)
	}
	files, err := viewFiles(path)
	if err != nil {
		wrong = append(wrong, err)
	}
	var all []access.View
	var mentions Mentions
	for _, file := range files {
		data, err := read(file)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("configuration: %w", err))
			continue
		}
		views, err := parseViews(file, data, &mentions)
		if err != nil {
			wrong = append(wrong, err)
		}
		all = append(all, views...)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	c.Access.Views = append(c.Access.Views, all...)
	c.Mentions = append(c.Mentions, mentions...)
	return c, nil
}

// Parse reads the configuration in data; name is the file's in messages. The
// error is a [strict.Errors].
func Parse(name string, data []byte) (*Config, error) {
	doc := strict.Parse(name, data)
	if !doc.Parsed() {
		return nil, doc.Err()
	}
	r := reader{name: name, config: Default(), named: make(map[string]strict.Value), reached: make(map[string]string)}
	r.read(doc.Root())
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return r.config, nil
}

// Warnings says what in the configuration an admin should know to be unsafe, or to be
// a slip of the pen.
func (c *Config) Warnings() []string {
	warnings := c.unknownNodes()
	if !c.Insecure {
		return warnings
	}
	for _, l := range c.Listen {
		if isTCP(l) {
			warnings = append(warnings, fmt.Sprintf("listening on %s without encryption: whoever reaches it is believed to be whom they say", l))
		}
	}
	if c.Metrics != nil && isTCP(c.Metrics.Listen) {
		warnings = append(warnings, fmt.Sprintf("metrics are on %s without encryption: whoever reaches it gets them", c.Metrics.Listen))
	}
	open := 0
	for _, n := range c.Nodes {
		if isTCP(n.Address) {
			open++
		}
	}
	if open > 0 {
		warnings = append(warnings, fmt.Sprintf("%d nodes are reached by tcp without encryption: whoever is on the way can read and forge", open))
	}
	return warnings
}
