package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
)

// A kind is a metric: what it is called, with the labels that its series have.
type kind struct {
	*prometheus.Desc
	as prometheus.ValueType
}

func gauge(name, help string, labels ...string) kind {
	return kind{prometheus.NewDesc("aggrfs_"+name, help, labels, nil), prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) kind {
	return kind{prometheus.NewDesc("aggrfs_"+name, help, labels, nil), prometheus.CounterValue}
}

// Of the front end.
var (
	buildInfo    = gauge("build_info", "1, with the version of aggrfs.", "version")
	lookTime     = gauge("look_timestamp_seconds", "When the nodes were looked at last.")
	lookSeconds  = gauge("look_seconds", "How long that took.")
	connections  = gauge("connections", "9P connections that are served.")
	attaches     = counter("attaches_total", "Attaches that were taken.")
	refusals     = counter("refusals_total", "Attaches and connections that were refused.")
	panics       = counter("panics_total", "Requests that were answered EIO for a fault of aggrfs.")
	cacheReads   = counter("cache_reads_total", "Reads, by how they were answered: hit, miss (the node was asked), coalesced (with another's), stale (the node did not answer).", "result")
	cacheEvicted = counter("cache_evicted_total", "Values that went to make room.")
	cacheEntries = gauge("cache_entries", "Values that are cached.")
	cacheBytes   = gauge("cache_bytes", "What they take.")
	allocAge     = gauge("allocations_age_seconds", "How old the table of allocations in force is; no series is none yet.")
	allocWell    = gauge("allocations_ok", "1 while its source is well.")
	certEnd      = gauge("certificate_end_timestamp_seconds", "When this machine's certificate, or the last of its CAs, ends.", "of")
)

// Of each node.
var (
	nodeUp       = gauge("node_up", "1 while the node answers.", "node")
	nodeLatency  = gauge("node_latency_seconds", "How long its last answer took.", "node")
	nodeSweeps   = counter("node_sweeps_total", "Tables of its processes that have come.", "node")
	nodeMissed   = counter("node_missed_total", "Answers that had to do without the node.", "node")
	nodeLoad1    = gauge("node_load1", "Load over a minute, as in /proc/loadavg.", "node")
	nodeLoad5    = gauge("node_load5", "The same over 5 minutes.", "node")
	nodeLoad15   = gauge("node_load15", "The same over 15 minutes.", "node")
	nodeCPUs     = gauge("node_cpus", "Processors.", "node")
	nodeThreads  = gauge("node_threads", "Threads.", "node")
	nodeUptime   = gauge("node_uptime_seconds", "Time since its boot.", "node")
	nodeOffset   = gauge("node_clock_offset_seconds", "How much its clock is ahead of the front end's.", "node")
	nodeTotal    = gauge("node_memory_total_bytes", "MemTotal of /proc/meminfo.", "node")
	nodeFree     = gauge("node_memory_free_bytes", "MemFree.", "node")
	nodeAvail    = gauge("node_memory_available_bytes", "MemAvailable.", "node")
	nodeSwap     = gauge("node_swap_total_bytes", "SwapTotal.", "node")
	nodeSwapFree = gauge("node_swap_free_bytes", "SwapFree.", "node")
	nodeCPU      = counter("node_cpu_seconds_total", "Processor time that was seen to pass, by what it was used for, as in /proc/stat.", "node", "mode")
	nodeStalled  = counter("node_pressure_seconds_total", "Time that was seen to pass in which some, or all (full), tasks were stalled, as in /proc/pressure.", "node", "resource", "tasks")
)

// Of users, jobs and commands.
var byName = []struct {
	of              func(*aggregate.Measures) []aggregate.NameMeasures
	cpu, procs, rss kind
}{
	named("user", "user", func(m *aggregate.Measures) []aggregate.NameMeasures { return m.Users }),
	named("job", "batch_job", func(m *aggregate.Measures) []aggregate.NameMeasures { return m.Jobs }),
	named("command", "command", func(m *aggregate.Measures) []aggregate.NameMeasures { return m.Commands }),
}

func named(what, label string, of func(*aggregate.Measures) []aggregate.NameMeasures) (n struct {
	of              func(*aggregate.Measures) []aggregate.NameMeasures
	cpu, procs, rss kind
}) {
	n.of = of
	n.cpu = counter(what+"_cpu_seconds_total", "Processor time of the processes of a "+what+" that was seen to pass.", label)
	n.procs = gauge(what+"_processes", "Processes of a "+what+".", label)
	n.rss = gauge(what+"_resident_bytes", "Their resident memory; what they share counts for each.", label)
	return n
}

// Describe implements prometheus.Collector: none are told beforehand, so each scrape is checked.
func (s *Server) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *Server) Collect(out chan<- prometheus.Metric) {
	c := collection(out)
	c.add(buildInfo, 1, s.cfg.Version)
	c.health(s)
	m := s.latest.Load()
	if m == nil {
		return
	}
	c.add(lookTime, seconds(m.At))
	c.add(lookSeconds, m.Took.Seconds())
	for i := range m.Nodes {
		c.node(&m.Nodes[i])
	}
	for _, n := range byName {
		for _, one := range n.of(m) {
			c.add(n.cpu, one.CPU, one.Name)
			c.add(n.procs, float64(one.Procs), one.Name)
			c.add(n.rss, float64(one.RSS)*1024, one.Name)
		}
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// A collection takes the series of a scrape.
type collection chan<- prometheus.Metric

func (c collection) add(k kind, value float64, labels ...string) {
	m, err := prometheus.NewConstMetric(k.Desc, k.as, value, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(k.Desc, err)
	}
	c <- m
}

// known adds a value that may not be known, in a unit of so many.
func known[N int64 | float64](c collection, k kind, value *N, unit float64, node string) {
	if value != nil {
		c.add(k, float64(*value)*unit, node)
	}
}

func bit(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// health adds what is of the front end alone.
func (c collection) health(s *Server) {
	stats := s.cfg.Server()
	c.add(connections, float64(stats.Connections))
	c.add(attaches, float64(stats.Attaches))
	c.add(refusals, float64(stats.Refusals))
	c.add(panics, float64(stats.Panics))
	f := s.cache.look(s.cfg.Cache())
	for _, r := range []struct {
		result string
		n      int64
	}{{"hit", f.Hits}, {"miss", f.Misses}, {"coalesced", f.Coalesced}, {"stale", f.Stale}} {
		c.add(cacheReads, float64(r.n), r.result)
	}
	c.add(cacheEvicted, float64(f.Evicted))
	c.add(cacheEntries, float64(f.Entries))
	c.add(cacheBytes, float64(f.Bytes))
	if a := s.cfg.Allocations(); a != nil {
		c.add(allocWell, bit(a.Well() && !a.Read.IsZero()))
		if !a.Read.IsZero() {
			c.add(allocAge, time.Since(a.Read).Seconds())
		}
	}
	if s.cfg.Keys != nil {
		own, ca := s.cfg.Keys.Ends()
		c.add(certEnd, seconds(own), "certificate")
		c.add(certEnd, seconds(ca), "ca")
	}
}

// node adds what is of a node.
func (c collection) node(n *aggregate.NodeMeasures) {
	c.add(nodeUp, bit(n.Up), n.Name)
	if n.Latency > 0 {
		c.add(nodeLatency, n.Latency.Seconds(), n.Name)
	}
	c.add(nodeSweeps, float64(n.Sweeps), n.Name)
	c.add(nodeMissed, float64(n.Missed), n.Name)
	for i, mode := range aggregate.CPUKinds {
		c.add(nodeCPU, n.CPU[i], n.Name, mode)
	}
	for i, of := range aggregate.Stalls {
		c.add(nodeStalled, n.Stalled[i], n.Name, of[0], of[1])
	}
	known(c, nodeLoad1, n.Load.Load1, 1, n.Name)
	known(c, nodeLoad5, n.Load.Load5, 1, n.Name)
	known(c, nodeLoad15, n.Load.Load15, 1, n.Name)
	known(c, nodeCPUs, n.Load.CPUs, 1, n.Name)
	known(c, nodeThreads, n.Load.Threads, 1, n.Name)
	known(c, nodeUptime, n.Load.Uptime, 1, n.Name)
	known(c, nodeOffset, n.Load.Offset, 1e-3, n.Name)
	known(c, nodeTotal, n.Memory.Total, 1024, n.Name)
	known(c, nodeFree, n.Memory.Free, 1024, n.Name)
	known(c, nodeAvail, n.Memory.Available, 1024, n.Name)
	known(c, nodeSwap, n.Memory.SwapTotal, 1024, n.Name)
	known(c, nodeSwapFree, n.Memory.SwapFree, 1024, n.Name)
}

// cacheCounters are sums over all rules that do not fall when a rule goes with another policy.
type cacheCounters struct {
	mu   sync.Mutex
	last map[string]cachepolicy.Figures // by rule
	sum  cachepolicy.Figures
}

// look takes note of the figures of each rule, and returns their sum.
func (k *cacheCounters) look(all []cachepolicy.Figures) cachepolicy.Figures {
	k.mu.Lock()
	defer k.mu.Unlock()
	last := make(map[string]cachepolicy.Figures, len(all))
	k.sum.Entries, k.sum.Bytes = 0, 0
	for _, f := range all {
		name := f.Rule.Match.String() + " " + f.Rule.Nodes.String()
		was := k.last[name]
		if was.Hits > f.Hits || was.Misses > f.Misses {
			was = cachepolicy.Figures{} // the rule was away
		}
		for _, c := range []struct{ sum, now, was *int64 }{
			{&k.sum.Hits, &f.Hits, &was.Hits},
			{&k.sum.Misses, &f.Misses, &was.Misses},
			{&k.sum.Coalesced, &f.Coalesced, &was.Coalesced},
			{&k.sum.Stale, &f.Stale, &was.Stale},
			{&k.sum.Evicted, &f.Evicted, &was.Evicted},
		} {
			*c.sum += max(0, *c.now-*c.was)
		}
		k.sum.Entries += f.Entries
		k.sum.Bytes += f.Bytes
		last[name] = f
	}
	k.last = last
	return k.sum
}
