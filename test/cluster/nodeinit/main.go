// Command nodeinit is the init of a test node: the first process of its pid
// namespace, started by package cluster through unshare(1). It makes itself a
// root directory, starts a procsrv and some processes, buries orphans and does
// what package cluster asks for until that goes away; then it ends, and the
// kernel ends the namespace with it.
//
// In a process with a role in its environment it is part of a node's workload.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/aggrfs/aggrfs/test/cluster/control"
)

func main() {
	if role := os.Getenv(control.RoleVariable); role != "" {
		play(role)
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "nodeinit:", err)
		os.Exit(1)
	}
}

func run() error {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var c control.Config
	if err := in.Decode(&c); err != nil {
		return err
	}
	if err := enter(c); err != nil {
		return out.Encode(control.Reply{Error: err.Error()})
	}
	n := &node{config: c, ended: make(chan int)}
	go n.bury()
	reply := n.begin()
	for {
		if err := out.Encode(reply); err != nil {
			return err
		}
		var r control.Request
		if err := in.Decode(&r); err != nil {
			return nil // the starter has gone
		}
		reply = n.do(r)
	}
}
