package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster"
)

const forPrometheus = "../../packaging/prometheus/"

// promtool finds no fault in the alert rules, and each expression of the dashboard has values at a real
// Prometheus that scrapes a front end.
func TestPrometheus(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", forPrometheus+"aggrfs-alerts.yaml").CombinedOutput(); err != nil {
		t.Fatalf("promtool (of the Debian package prometheus): %v\n%s", err, out)
	}
	var dashboard struct {
		UID, Title    string
		SchemaVersion int
		Panels        []struct {
			Title, Type string
			Targets     []struct{ Expr, RefID string }
		}
	}
	text, err := os.ReadFile(forPrometheus + "aggrfs-dashboard.json")
	if err == nil {
		err = json.Unmarshal(text, &dashboard)
	}
	if err != nil || dashboard.UID == "" || dashboard.Title == "" || dashboard.SchemaVersion == 0 || len(dashboard.Panels) == 0 {
		t.Fatalf("the dashboard: %v, %+v", err, dashboard)
	}
	dir := filepath.Join(t.TempDir(), "ca")
	for _, args := range [][]string{{"init", dir}, {"issue", "--dir", dir, "head,prometheus"}} {
		if out, err := output(exec.Command(filepath.Join(bin, "aggrfs"), append([]string{"certs"}, args...)...)); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	target, web := freeAddress(t), freeAddress(t)
	s := newSite(t, cluster.Options{Nodes: 1}, fmt.Sprintf("tls: {cert: %[1]s/head.crt, key: %[1]s/head.key, ca: %[1]s/ca.crt}\n"+
		"metrics: {listen: \"tls:%[2]s\", interval: 1s, names: true, certificates: [prometheus]}\n", dir, target))
	rules, err := filepath.Abs(forPrometheus + "aggrfs-alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	config := filepath.Join(data, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%[3]q]
scrape_configs:
  - job_name: aggrfs
    scheme: https
    tls_config: {ca_file: %[1]s/ca.crt, cert_file: %[1]s/prometheus.crt, key_file: %[1]s/prometheus.key, server_name: head}
    static_configs: [{targets: [%[2]q]}]
`, dir, target, rules), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(data, "db"), "--web.listen-address="+web)
	l := &log{}
	cmd.Stderr = l
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(syscall.SIGKILL)
	query := func(expr string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+web+"/api/v1/query?query="+url.QueryEscape(expr), nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, l)
		}
		defer res.Body.Close()
		defer http.DefaultClient.CloseIdleConnections()
		var answer struct {
			Status, Error string
			Data          struct{ Result []any }
		}
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			return err
		}
		if answer.Status != "success" {
			return errors.New(answer.Error)
		}
		if len(answer.Data.Result) == 0 {
			return errors.New("there are no values")
		}
		return nil
	}
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("the panel %q has no expression", p.Title)
		}
		for _, target := range p.Targets {
			s.eventuallyNil(p.Title+": "+target.Expr, func() error { return query(target.Expr) })
		}
	}
}
