package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/privs"
)

// units are those of the daemons.
var units = []string{"aggrfs.service", "procsrv.service"}

const mountUnit = "aggrfs-mount.service"

// A unit is a unit file: its directives by section.
type unit map[string]map[string][]string

// readUnit reads a unit as it was installed. No line of ours goes on in the next.
func readUnit(t *testing.T, name string) unit {
	t.Helper()
	u := unit{}
	section := ""
	for line := range strings.Lines(installed(t, prefix+"/lib/systemd/system/"+name)) {
		line = strings.TrimSpace(line)
		key, value, directive := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
			if u[section] != nil {
				t.Errorf("%s has two sections %s", name, section)
			}
			u[section] = map[string][]string{}
		case section == "" || !directive || strings.HasSuffix(line, `\`):
			t.Errorf("%s: what is %q?", name, line)
		default:
			u[section][key] = append(u[section][key], value)
		}
	}
	return u
}

// get is the one value of a directive, "" where it is not set.
func (u unit) get(t *testing.T, section, key string) string {
	t.Helper()
	switch values := u[section][key]; len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	default:
		t.Errorf("%s is set %d times", key, len(values))
		return values[0]
	}
}

// TestDirectives finds no directive twice, but for a second SystemCallFilter
// that takes from the first, and a third that adds to it again, which is how systemd has it
// written.
func TestDirectives(t *testing.T) {
	for _, name := range append([]string{mountUnit}, units...) {
		u := readUnit(t, name)
		if len(u) != 3 || u["Unit"] == nil || u["Service"] == nil || u["Install"] == nil {
			t.Errorf("%s: sections %v", name, u)
		}
		for section, directives := range u {
			for key, values := range directives {
				subtracts := key == "SystemCallFilter" && len(values) > 1 && values[0] == "@system-service" && values[1][0] == '~'
				steps := key == "ExecReload" // which are taken one after another
				if len(values) > 1 && !subtracts && !steps {
					t.Errorf("%s: [%s] %s is set %d times", name, section, key, len(values))
				}
			}
		}
	}
}

// TestCommands starts each unit's program with its flags, to be told about them.
func TestCommands(t *testing.T) {
	for _, name := range units {
		u := readUnit(t, name)
		command := strings.Fields(u.get(t, "Service", "ExecStart"))
		if !strings.HasPrefix(command[0], prefix) {
			t.Fatalf("%s starts %s, which is not below the prefix", name, command[0])
		}
		if out, err := exec.Command(filepath.Join(dest, command[0]), append(command[1:], "--help")...).CombinedOutput(); err != nil {
			t.Errorf("%s: %q: %v\n%s", name, command, err, out)
		}
		runtime := "/run/" + u.get(t, "Service", "RuntimeDirectory")
		for _, arg := range command {
			if path, ok := strings.CutPrefix(arg, "unix:"); ok && filepath.Dir(path) != runtime {
				t.Errorf("%s listens on %s, but its directory is %s", name, path, runtime)
			}
			if strings.HasSuffix(arg, ".yaml") {
				installed(t, arg)
			}
		}
		documented(t, u)
	}
}

// documented looks for the manual pages that a unit names.
func documented(t *testing.T, u unit) {
	t.Helper()
	pages := strings.Fields(u.get(t, "Unit", "Documentation"))
	for _, page := range pages {
		name, section, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(page, "man:"), ")"), "(")
		if !ok {
			t.Errorf("%q is no page of the manual", page)
			continue
		}
		installed(t, prefix+"/share/man/man"+section+"/"+name+"."+section)
	}
	if len(pages) == 0 {
		t.Error("it names no documentation")
	}
}

// TestReload: a reload begins with a check of the configuration that the unit starts with.
func TestReload(t *testing.T) {
	u := readUnit(t, "aggrfs.service")
	steps := u["Service"]["ExecReload"]
	if len(steps) != 2 || steps[0] != u.get(t, "Service", "ExecStart")+" --check" || !strings.HasSuffix(steps[1], "-HUP $MAINPID") {
		t.Fatalf("%q", steps)
	}
	command := strings.Fields(steps[0])
	config := slices.Index(command, "--config") + 1
	// The files that it names are where it was installed for the test.
	text := strings.ReplaceAll(installed(t, command[config]), "/opt/etc/", dest+"/opt/etc/")
	command[config] = filepath.Join(t.TempDir(), "aggrfs.yaml")
	if err := os.WriteFile(command[config], []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(dest, command[0]), command[1:]...).CombinedOutput(); err != nil || !strings.Contains(string(out), ": good: ") {
		t.Errorf("%q: %v\n%s", command, err, out)
	}
}

// TestMountUnit: it mounts from the server of the other unit, and keeps on when that restarts.
func TestMountUnit(t *testing.T) {
	u := readUnit(t, mountUnit)
	command := strings.Fields(u.get(t, "Service", "ExecStart"))
	if out, err := exec.Command(filepath.Join(dest, command[0]), append(command[1:], "--help")...).CombinedOutput(); err != nil {
		t.Errorf("%q: %v\n%s", command, err, out)
	}
	text, err := os.ReadFile("aggrfs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("aggrfs.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Listen) != 1 || !slices.Contains(command, cfg.Listen[0]) {
		t.Errorf("%q does not name the server at %q", command, cfg.Listen)
	}
	for _, key := range []string{"Requires", "BindsTo", "PartOf"} {
		if value := u.get(t, "Unit", key); value != "" {
			t.Errorf("%s=%s ends it with the server", key, value)
		}
	}
	for _, key := range []string{"ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateMounts", "ReadOnlyPaths", "ProtectProc", "ProtectKernelTunables", "ProtectControlGroups"} {
		if value := u.get(t, "Service", key); value != "" {
			t.Errorf("%s=%s gives it a mount namespace in which nobody sees the mount", key, value)
		}
	}
	documented(t, u)
}

// TestConfiguration is that of aggrfs.service: it fits the unit's directories.
func TestConfiguration(t *testing.T) {
	text, err := os.ReadFile("aggrfs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	u := readUnit(t, "aggrfs.service")
	// As it is, and with the nodes that it suggests.
	for nodes, text := range map[int]string{0: string(text), 128: strings.ReplaceAll(string(text), "\n# nodes:\n#", "\nnodes:\n")} {
		cfg, err := config.Parse("aggrfs.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		installed(t, "/opt"+cfg.Policy)
		if len(cfg.Nodes) != nodes {
			t.Errorf("%d nodes, want %d", len(cfg.Nodes), nodes)
		}
		if dir := filepath.Dir(cfg.State); dir != "/var/lib/"+u.get(t, "Service", "StateDirectory") {
			t.Errorf("state file in %s", dir)
		}
		if len(cfg.Listen) != 1 || filepath.Dir(strings.TrimPrefix(cfg.Listen[0], "unix:")) != "/run/"+u.get(t, "Service", "RuntimeDirectory") {
			t.Errorf("listens on %q", cfg.Listen)
		}
		tmpfiles := installed(t, prefix+"/lib/tmpfiles.d/aggrfs.conf")
		for _, n := range cfg.Nodes[:min(1, len(cfg.Nodes))] {
			if dir := filepath.Dir(strings.TrimPrefix(n.Address, "unix:")); !strings.Contains(tmpfiles, "d "+dir+" 0700 aggrfs") {
				t.Errorf("nobody makes %s", dir)
			}
		}
	}
}

// TestCapabilities are those that a leaf cannot do without.
func TestCapabilities(t *testing.T) {
	var want []string
	for _, w := range privs.Leaf() {
		if !w.Optional {
			want = append(want, privs.Set(1<<w.Number).String())
		}
	}
	for _, name := range units {
		u := readUnit(t, name)
		for _, key := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
			got := strings.Fields(u.get(t, "Service", key))
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s=%v, want %v", name, key, got, want)
			}
		}
	}
}

// whole are the values that leave the exported /proc whole: any other, and any
// value where there is "", makes part of it vanish or tell of something else
// than the node. See the README.
var whole = map[string]string{
	"ProtectProc": "default", "ProcSubset": "all", "ProtectKernelTunables": "no", "ProtectKernelLogs": "no",
	"ProtectHostname": "no", "PrivateNetwork": "no", "PrivateIPC": "no", "PrivateUsers": "no", "PrivatePIDs": "",
	"ProtectControlGroups": "yes", "RestrictSUIDSGID": "no", "RootDirectory": "", "RootImage": "", "DynamicUser": "",
	"InaccessiblePaths": "", "TemporaryFileSystem": "", "BindPaths": "", "BindReadOnlyPaths": "", "NetworkNamespacePath": "", "ReadOnlyPaths": "/proc /sys",
}

func TestProcIsWhole(t *testing.T) {
	for _, name := range units {
		u := readUnit(t, name)
		for key, want := range whole {
			if got := u.get(t, "Service", key); got != want {
				t.Errorf("%s: %s=%s, want %q", name, key, got, want)
			}
		}
	}
}
