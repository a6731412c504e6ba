package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// scrape gets the metrics from a server that dial connects to: the values by series.
func scrape(ctx context.Context, scheme string, client *http.Transport) (series map[string]float64, err error) {
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", scheme+"://head/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := client.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s, %w", res.Status, text, err)
	}
	series = map[string]float64{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if at := strings.LastIndexByte(line, ' '); !strings.HasPrefix(line, "#") && at > 0 {
			if series[line[:at]], err = strconv.ParseFloat(line[at+1:], 64); err != nil {
				return nil, err
			}
		}
	}
	return series, nil
}

// onSocket connects to a unix socket.
func onSocket(path string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
}

// Metrics are what the node's own files say; they name no user; counters never fall when the leaf
// starts again; and how many series a node has does not change.
func TestMetricsAreTheNodes(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "metrics.sock")
	s := newSite(t, cluster.Options{Nodes: 2}, fmt.Sprintf("metrics: {listen: \"unix:%s\", interval: 1s}\n", socket))
	n := s.cluster.Nodes[0]
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	of := func(m string) string { return fmt.Sprintf("aggrfs_node_%s{node=%q}", m, n.Name) }
	counters := func(series map[string]float64) map[string]float64 {
		some := maps.Clone(series)
		maps.DeleteFunc(some, func(k string, _ float64) bool {
			return !strings.HasPrefix(k, "aggrfs_") || !strings.HasSuffix(k, "_total") && !strings.Contains(k, "_total{")
		})
		return some
	}
	var last map[string]float64
	get := func() (map[string]float64, error) {
		series, err := scrape(t.Context(), "http", onSocket(socket))
		if err != nil {
			return nil, err
		}
		for k, was := range last {
			if now, there := series[k]; !there || now < was {
				t.Errorf("the counter %s was %v and is %v", k, was, now)
			}
		}
		last = counters(series)
		for k := range series {
			for _, name := range []string{nameOf(cluster.Alice), nameOf(cluster.Bob), "solver", "procsrv"} {
				if strings.HasPrefix(k, "aggrfs_") && strings.Contains(k, name) {
					t.Errorf("a series tells of %s: %s", name, k)
				}
			}
		}
		return series, nil
	}
	number := func(text, name string) (v float64) {
		_, rest, _ := strings.Cut("\n"+text, "\n"+name)
		fmt.Sscan(rest, &v)
		return v
	}
	s.eventuallyNil("load and memory are the node's", func() error {
		before := s.onNode(n, "cat", "/proc/loadavg", "/proc/meminfo")
		series, err := get()
		if err != nil {
			return err
		}
		load, _ := strconv.ParseFloat(strings.Fields(before)[0], 64)
		if got, there := series[of("load1")]; !there || got != load {
			return fmt.Errorf("load1 is %v, on the node %v", got, load)
		}
		total := number(before, "MemTotal:") * 1024
		if series[of("memory_total_bytes")] != total {
			return fmt.Errorf("memory is %v, on the node %v", series[of("memory_total_bytes")], total)
		}
		if off := series[of("memory_available_bytes")] - number(before, "MemAvailable:")*1024; off > total/100 || off < -total/100 {
			return fmt.Errorf("what is available is off by %v", off)
		}
		if series[of("up")] != 1 {
			return fmt.Errorf("up is %v", series[of("up")])
		}
		return nil
	})
	// Processor time that passes is that of /proc/stat: all processors' together.
	idle := func(series map[string]float64) (all float64) {
		for k, v := range series {
			if strings.HasPrefix(k, "aggrfs_node_cpu_seconds_total{") && strings.Contains(k, fmt.Sprintf("node=%q", n.Name)) {
				all += v
			}
		}
		return all
	}
	s.eventuallyNil("processor time passes", func() error {
		series, err := get()
		if err != nil {
			return err
		}
		if idle(series) < 3*series[of("cpus")] {
			return fmt.Errorf("%v seconds of %v processors have passed", idle(series), series[of("cpus")])
		}
		return nil
	})
	if err := n.KillLeaf(); err != nil {
		t.Fatal(err)
	}
	s.eventuallyNil("the node is down", func() error {
		series, err := get()
		if err == nil && series[of("up")] != 0 {
			err = fmt.Errorf("up is %v", series[of("up")])
		}
		return err
	})
	if err := n.StartLeaf(); err != nil {
		t.Fatal(err)
	}
	s.eventuallyNil("the node is up", func() error {
		series, err := get()
		if err == nil && series[of("up")] != 1 {
			err = fmt.Errorf("up is %v", series[of("up")])
		}
		return err
	})
}

// Names are for certificates that are named alone, and the series are no more than so many whatever
// users call their programs.
func TestMetricsNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	for _, args := range [][]string{{"init", dir}, {"issue", "--dir", dir, "head,prometheus,n1"}} {
		if out, err := output(exec.Command(filepath.Join(bin, "aggrfs"), append([]string{"certs"}, args...)...)); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	address := freeAddress(t)
	s := newSite(t, cluster.Options{Nodes: 1}, fmt.Sprintf("tls: {cert: %[1]s/head.crt, key: %[1]s/head.key, ca: %[1]s/ca.crt}\n"+
		"metrics: {listen: \"tls:%[2]s\", interval: 1s, names: true, certificates: [prometheus]}\n", dir, address))
	client := func(name string) *http.Transport {
		t.Helper()
		ca, err := os.ReadFile(dir + "/ca.crt")
		if err != nil {
			t.Fatal(err)
		}
		c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "head"}
		c.RootCAs.AppendCertsFromPEM(ca)
		if name != "" {
			pair, err := tls.LoadX509KeyPair(dir+"/"+name+".crt", dir+"/"+name+".key")
			if err != nil {
				t.Fatal(err)
			}
			c.Certificates = []tls.Certificate{pair}
		}
		return &http.Transport{TLSClientConfig: c, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}}
	}
	for _, name := range []string{"", "n1"} {
		if series, err := scrape(t.Context(), "https", client(name)); err == nil {
			t.Errorf("the certificate %q gets %d series", name, len(series))
		}
	}
	user := fmt.Sprintf("aggrfs_user_processes{user=%q}", nameOf(cluster.Alice))
	s.eventuallyNil("alice has processes", func() error {
		series, err := scrape(t.Context(), "https", client("prometheus"))
		if err == nil && (series[user] < 1 || series[`aggrfs_certificate_end_timestamp_seconds{of="ca"}`] < float64(time.Now().Unix())) {
			err = fmt.Errorf("%s is %v", user, series[user])
		}
		return err
	})
	const many = 120 // names
	for i := range many {
		program := fmt.Sprintf("import time; open('/proc/self/comm', 'wb').write(b'p\\xff%d'); time.sleep(100000)", i)
		if _, err := s.cluster.Nodes[0].Spawn(cluster.Process{UID: cluster.Bob, GID: cluster.Bob, Argv: []string{"python3", "-c", program}}); err != nil {
			t.Fatal(err)
		}
	}
	s.eventuallyNil("the rest are under other", func() error {
		series, err := scrape(t.Context(), "https", client("prometheus"))
		if err != nil {
			return err
		}
		commands := 0
		for k := range series {
			if strings.HasPrefix(k, "aggrfs_command_processes{") {
				commands++
			}
		}
		if commands > 51 {
			t.Errorf("%d commands have series", commands)
		}
		if rest := series[`aggrfs_command_processes{command="other"}`]; commands != 51 || rest < many-50 {
			return fmt.Errorf("%d commands have series, %v processes are under other", commands, rest)
		}
		return nil
	})
}
