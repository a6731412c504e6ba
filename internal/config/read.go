package config

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/config/strict"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A reader fills a Config from a document. What one key means for another (tcp
// and insecure, head and nodes) is checked when all have been read.
type reader struct {
	name    string // the file's
	config  *Config
	named   map[string]strict.Value // where each node was named
	reached map[string]string       // which node has which address
	cache   strict.Value            // where cache was given
	tcp     []strict.Value          // the addresses that need insecure
	tls     []strict.Value          // the addresses that need tls
	haveTLS bool                    // it is there, right or wrong
	byCert  []strict.Value          // what is about those who show certificates
}

func (r *reader) read(root strict.Value) {
	c := r.config
	versioned := false
	root.Fields(strict.Fields{
		"version": func(v strict.Value) {
			versioned = true
			if n, ok := v.Uint(1 << 31); ok && n != Version {
				v.Fail("version %d of the configuration is not known here; this aggrfs reads version %d", n, Version)
			}
		},
		"listen": r.listen,
		"state":  func(v strict.Value) { absolute(v, &c.State) },
		"gpids": func(v strict.Value) {
			switch mode, ok := v.Text(); {
			case mode == "fixed", mode == "paged":
				c.GPIDs = mode
			case ok:
				v.Fail("%q is no way to number processes; it is \"fixed\" (index × 10000000 + pid, up to 213 nodes) or \"paged\"", mode)
			}
		},
		"head":     r.headName,
		"nodes":    func(v strict.Value) { v.List(r.nodes) },
		"timeouts": r.timeouts,
		"max_processes": func(v strict.Value) {
			switch n, ok := v.Uint(maxProcesses); {
			case ok && n == 0:
				v.Fail("a node without any process; write how many a node may have, such as 65536")
			case ok:
				c.MaxProcesses = int(n)
			}
		},
		"cache": func(v strict.Value) {
			if d, ok := v.Duration(); ok {
				c.Cache, r.cache = &d, v
			}
		},
		"policy": func(v strict.Value) {
			if text, ok := v.Text(); ok && text != "" {
				absolute(v, &c.Policy)
			}
		},
		"control":     func(v strict.Value) { c.Access.Control = readControl(v) },
		"cgroup_node": func(v strict.Value) { c.CgroupNode, _ = v.Bool() },
		"proc":        func(v strict.Value) { absolute(v, &c.Proc) },
		"native":      func(v strict.Value) { absolute(v, &c.Native) },
		"insecure":    func(v strict.Value) { c.Insecure, _ = v.Bool() },
		"munge":       func(v strict.Value) { c.Munge, _ = v.Bool() },
		"metrics":     r.metrics,
		"admins":      r.admins,
		"views":       r.views,
		"allocations": r.allocations,

		"tls":          r.keys,
		"front_ends":   r.frontEnds,
		"certificates": r.certificates,
	})
	if c.Cache != nil && c.Policy != "" {
		r.cache.Fail("cache and policy both say what is cached; keep one")
	}
	if !versioned {
		root.Fail("version is missing; write \"version: %d\"", Version)
	}
	if at, ok := r.named[c.Head]; ok {
		at.Fail("%s is the head's own name; the head is node 0 and not listed (or give another name with head:)", c.Head)
	}
	if !r.haveTLS {
		for _, v := range r.tls {
			v.Fail("tls: needs a certificate, its key and a CA; write \"tls: {cert: FILE, key: FILE, ca: FILE}\" at the top")
		}
	}
	if len(c.FrontEnds)+len(c.Certificates) > 0 && !r.listensTLS() {
		for _, v := range r.byCert {
			v.Fail("nobody can show a certificate here: no address of listen has tls: in front")
		}
	}
	if !c.Insecure {
		for _, v := range r.tcp {
			v.Fail("tcp is neither encrypted nor authenticated; use tls: or a unix: socket, or allow it with \"insecure: true\"")
		}
	}
}

// maxProcesses is more than any kernel has pids: PID_MAX_LIMIT of
// include/linux/threads.h.
const maxProcesses = 4194304

func absolute(v strict.Value, into *string) {
	text, ok := v.Text()
	switch {
	case !ok:
	case !path.IsAbs(text) || strings.IndexByte(text, 0) >= 0:
		v.Fail("%q is no absolute path", text)
	default:
		*into = path.Clean(text)
	}
}

func (r *reader) headName(v strict.Value) {
	name, ok := v.Text()
	switch {
	case !ok || name == "":
	case !isName(name):
		v.Fail("%q cannot be a node's name; it is made of letters, digits, \".\", \"_\" and \"-\"", name)
	default:
		r.config.Head = name
	}
}

func (r *reader) listen(v strict.Value) {
	r.config.Listen = nil
	ok := v.List(func(v strict.Value) {
		address, ok := v.Text()
		if !ok {
			return
		}
		if err := CheckAddress(address); err != nil {
			v.Fail("%v", err)
			return
		}
		r.note(address, v)
		for _, other := range r.config.Listen {
			if other == address {
				v.Fail("%s is listed twice", address)
				return
			}
		}
		r.config.Listen = append(r.config.Listen, address)
	})
	if ok && len(r.config.Listen) == 0 {
		v.Fail("there is no address to listen on")
	}
}

// span reads a time that is not zero.
func span(into *time.Duration) func(strict.Value) {
	return func(v strict.Value) {
		if d, ok := v.Duration(); ok && d == 0 {
			v.Fail("a time of zero; write how long, such as 2s")
		} else if ok {
			*into = d
		}
	}
}

// note notes what an address needs that another key says.
func (r *reader) note(address string, v strict.Value) {
	switch {
	case isTCP(address):
		r.tcp = append(r.tcp, v)
	case isTLS(address):
		r.tls = append(r.tls, v)
	}
}

func (r *reader) timeouts(v strict.Value) {
	t := &r.config.Timeouts
	v.Fields(strict.Fields{"connect": span(&t.Connect), "read": span(&t.Read), "sweep": span(&t.Sweep)})
}

// nodes reads one entry of the list of nodes.
func (r *reader) nodes(entry strict.Value) {
	var nodes []string
	var pattern string
	var names, address strict.Value
	var node Node
	var theirs []strict.Value // keys for servers of kind 9p2000 only
	var user *strict.Value    // where it is
	haveNames, haveAddress, fine := false, false, true
	if !entry.Fields(strict.Fields{
		"nodes": func(v strict.Value) {
			names, haveNames = v, true
			text, ok := v.Text()
			if !ok {
				fine = false
				return
			}
			var err error
			if nodes, err = nodeset.Expand(text); err != nil {
				fine = false
				failNodeset(v, text, err, "name the nodes of this entry")
			}
		},
		"address": func(v strict.Value) {
			address, haveAddress = v, true
			var ok bool
			if pattern, ok = v.Text(); !ok {
				fine = false
			}
		},
		"kind": func(v strict.Value) {
			switch kind, _ := v.Text(); kind {
			case "procsrv":
			case "9p2000":
				node.Foreign = true
			case "aggrfs":
				node.Behind = true
			default:
				v.Fail("%q is no kind of node; it is \"procsrv\", \"aggrfs\" for nodes of another aggrfs, or \"9p2000\" for any other 9P server of a /proc", kind)
			}
		},
		"aname": func(v strict.Value) {
			node.Aname, _ = v.Text()
			theirs = append(theirs, v)
		},
		"user": func(v strict.Value) {
			user = &v
			switch name, ok := v.Text(); {
			case ok && (name == "" || !isUser(name)):
				v.Fail("%q is no user's name or number", name)
			case ok:
				node.User = name
				r.config.Mentions = append(r.config.Mentions, Mention{kind: aUser, name: name, at: v})
			}
		},
		"uname": func(v strict.Value) {
			node.Uname, _ = v.Text()
			theirs = append(theirs, v)
		},
	}) {
		return
	}
	if !node.Foreign {
		for _, v := range theirs {
			v.Fail("only nodes of kind 9p2000 have aname and uname; write \"kind: 9p2000\" too")
		}
	}
	if !haveNames {
		entry.Fail("nodes is missing; it names the nodes of this entry")
	}
	if !haveAddress {
		entry.Fail("address is missing; it says where the nodes' procsrv listens")
	}
	if !haveNames || !haveAddress || !fine {
		return
	}
	switch {
	case isExec(pattern) && user == nil:
		r.config.Mentions = append(r.config.Mentions, Mention{kind: theCommand, at: address})
	case !isExec(pattern) && user != nil:
		user.Fail("user is for the command of an exec: address")
	}
	r.add(nodes, names, pattern, address, node)
}

// add takes the nodes of one entry, which are like node.
func (r *reader) add(nodes []string, names strict.Value, pattern string, address strict.Value, node Node) {
	many := len(nodes)
	if node.Behind {
		many = 1 // all are reached at one
	}
	if err := checkPattern(pattern, many); err != nil {
		address.Fail("%v", err)
		return
	}
	r.note(pattern, address)
	for _, name := range nodes {
		if first, twice := r.named[name]; twice {
			names.Fail("the node %s is named twice, first on line %d", name, first.Line())
			return
		}
		r.named[name] = names
		at := strings.ReplaceAll(pattern, "%s", name)
		var err error
		if node.Command = nil; isExec(pattern) {
			node.Command, err = execWords(pattern, name)
		} else {
			err = CheckNodeAddress(at)
		}
		if err != nil {
			address.Fail("for the node %s: %v", name, err)
			return
		}
		if other, twice := r.reached[at]; twice && !node.Behind {
			address.Fail("%s would be reached at %s, which is the address of %s", name, at, other)
			return
		}
		r.reached[at] = name
		if len(r.config.Nodes) == nodeset.MaxNames {
			names.Fail("more than %d nodes", nodeset.MaxNames)
			return
		}
		node.Name, node.Address = name, at
		r.config.Nodes = append(r.config.Nodes, node)
	}
}

// keys reads tls, which names all three files.
func (r *reader) keys(v strict.Value) {
	r.haveTLS = true
	t := &r.config.TLS
	seen := map[string]bool{}
	file := func(key string, into *string) func(strict.Value) {
		return func(v strict.Value) {
			seen[key] = true
			absolute(v, into)
		}
	}
	if !v.Fields(strict.Fields{"cert": file("cert", &t.Cert), "key": file("key", &t.Key), "ca": file("ca", &t.CA)}) {
		return
	}
	var missing []string
	for _, key := range []string{"cert", "key", "ca"} {
		if !seen[key] {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		v.Fail("%s missing; a certificate, its key and a CA belong together", strings.Join(missing, ", "))
	}
}

// listensTLS reports whether anybody can show a certificate to this aggrfs.
func (r *reader) listensTLS() bool { return slices.ContainsFunc(r.config.Listen, isTLS) }

func (r *reader) frontEnds(v strict.Value) {
	r.byCert = append(r.byCert, v)
	v.List(func(v strict.Value) {
		name, ok := certName(v)
		switch {
		case !ok:
		case slices.Contains(r.config.FrontEnds, name):
			v.Fail("%s is listed twice", name)
		default:
			r.config.FrontEnds = append(r.config.FrontEnds, name)
		}
	})
}

func (r *reader) certificates(v strict.Value) {
	r.byCert = append(r.byCert, v)
	v.Entries("a certificate's name: user", func(key, v strict.Value) {
		name, ok := certName(key)
		user, ok2 := v.Text()
		switch {
		case !ok || !ok2:
		case !isUser(user):
			v.Fail("%q is no user's name or number", user)
		default:
			if r.config.Certificates == nil {
				r.config.Certificates = make(map[string]string)
			}
			r.config.Certificates[name] = user
			r.config.Mentions = append(r.config.Mentions, Mention{kind: aUser, name: user, at: v})
		}
	})
}

func certName(v strict.Value) (string, bool) {
	name, ok := v.Text()
	if ok && name == "" {
		v.Fail("a certificate's name is missing")
		return "", false
	}
	return name, ok
}

// isUser reports whether s can be a user: a number that is not one of those that
// stand for nobody, or a name that a user database can hold (passwd(5)).
func isUser(s string) bool {
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseUint(s, 10, 32)
		return err == nil && uint32(n) != vfs.OverflowID && uint32(n) != vfs.NoID
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == ':' || r == '/' || r == 0x7f })
}
