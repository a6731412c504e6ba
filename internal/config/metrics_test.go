package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/config"
)

func TestMetrics(t *testing.T) {
	const keys = "tls: {cert: /a, key: /b, ca: /c}\n"
	for text, want := range map[string]string{
		"metrics: {listen: \"unix:/m\", names: true}":                                           "",
		keys + "metrics: {listen: \"tls::9741\", names: true, certificates: [p], interval: 5s}": "",
		"insecure: true\nmetrics: {listen: \"tcp:127.0.0.1:9741\"}":                             "",
		"metrics: {listen: \"tcp:127.0.0.1:9741\"}":                                             "tcp is neither encrypted",
		"insecure: true\nmetrics: {listen: \"tcp::9741\", names: true}":                         "are not for everybody",
		keys + "metrics: {listen: \"tls::9741\"}":                                               "unless certificates names them",
		"metrics: {listen: \"tls::9741\", certificates: [p]}":                                   "tls: needs a certificate",
		"metrics: {listen: \"unix:/m\", certificates: [p]}":                                     "nobody can show a certificate",
		"metrics: {interval: 5s}":                                                               "listen is missing",
		"metrics: {listen: \"unix:/m\", interval: 1h}":                                          "an interval of 1h0m0s",
		"metrics: {listen: \"unix:m\"}":                                                         "bad address",
	} {
		c, err := config.Parse("f", []byte("version: 1\n"+text+"\n"))
		switch {
		case want == "" && (err != nil || c.Metrics == nil || c.Metrics.Interval < 5*time.Second):
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
