package config

import "reflect"

// Waiting are the keys by which fresh differs from c in what a daemon that was started with c takes
// up only when it is started again, in the order of the documents.
func (c *Config) Waiting(fresh *Config) (keys []string) {
	for _, of := range []struct {
		key     string
		is, was any
	}{
		{"listen", fresh.Listen, c.Listen}, {"tls", fresh.TLS, c.TLS}, {"front_ends", fresh.FrontEnds, c.FrontEnds},
		{"certificates", fresh.Certificates, c.Certificates}, {"state", fresh.State, c.State}, {"gpids", fresh.GPIDs, c.GPIDs},
		{"head", fresh.Head, c.Head}, {"nodes", fresh.Nodes, c.Nodes}, {"timeouts", fresh.Timeouts, c.Timeouts},
		{"max_processes", fresh.MaxProcesses, c.MaxProcesses}, {"cgroup_node", fresh.CgroupNode, c.CgroupNode},
		{"proc", fresh.Proc, c.Proc}, {"insecure", fresh.Insecure, c.Insecure}, {"munge", fresh.Munge, c.Munge}, {"native", fresh.Native, c.Native},
		{"metrics", fresh.Metrics, c.Metrics},
	} {
		if !reflect.DeepEqual(of.is, of.was) {
			keys = append(keys, of.key)
		}
	}
	return keys
}
