package cgroup

import "strings"

// scopes are the units that runtimes put a container into, and what they call
// themselves: the id follows the prefix. A unit of the process that watches a container,
// such as crio-conmon-<id>.scope, is none.
var scopes = []struct{ prefix, runtime string }{
	{"docker-", "docker"},
	{"cri-containerd-", "containerd"},
	{"nerdctl-", "containerd"},
	{"crio-", "crio"},
	{"libpod-payload-", "podman"},
	{"libpod-", "podman"},
}

// findContainer fills in the outermost container of the path and its pod:
//
//   - docker-<id>.scope and its like of [scopes], with systemd; crio-<id> and libpod-<id>
//     without; libpod-payload-<id> in the unit that started podman (--cgroups=split);
//   - <slice>:cri-containerd:<id>, where containerd and the kubelet are not agreed on
//     who makes cgroups;
//   - an id alone, 64 hexadecimal digits: /docker/<id>, /kubepods/burstable/pod<uid>/<id>;
//   - lxc.payload.<name>, lxc.payload/<name>, lxc/<name>;
//   - machine-<name>.scope of systemd-machined, systemd-nspawn@<name>.service.
func (p *Place) findContainer(at *path) {
	delegated := false
	for i, e := range at.elems {
		if pod := podUID(e); pod != "" && p.Pod == "" {
			p.Pod, p.Delegated = pod, delegated
		}
		id, runtime := containerAt(at, i)
		if id != "" {
			p.Container, p.Runtime, p.Delegated = id, runtime, delegated
			return
		}
		delegated = delegated || at.delegates(i) || strings.HasPrefix(e, "step_")
	}
}

// containerAt is the container that element i is.
func containerAt(at *path, i int) (id, runtime string) {
	e := at.elems[i]
	if isContainerID(e) {
		if i > 0 && at.elems[i-1] == "docker" {
			return e, "docker"
		}
		return e, ""
	}
	name := strings.TrimSuffix(e, ".scope")
	for _, s := range scopes {
		if id, ok := strings.CutPrefix(name, s.prefix); ok && isContainerID(id) {
			return id, s.runtime
		}
	}
	if _, id, ok := strings.Cut(e, ".slice:cri-containerd:"); ok && isContainerID(id) {
		return id, "containerd"
	}
	if i > 0 && (at.elems[i-1] == "lxc.payload" || at.elems[i-1] == "lxc") && isPlain(e) {
		return e, "lxc"
	}
	if id, ok := strings.CutPrefix(e, "lxc.payload."); ok && isPlain(id) {
		return id, "lxc"
	}
	for _, name := range []string{cutBoth(e, "machine-", ".scope"), cutBoth(e, "systemd-nspawn@", ".service")} {
		if name = unescape(name); !isPlain(name) {
			continue
		}
		if strings.HasPrefix(name, "qemu-") || strings.HasPrefix(name, "lxc-") { // of libvirt's drivers
			return name, "libvirt"
		}
		return name, "nspawn"
	}
	return "", ""
}

// isContainerID reports whether s is an id as runtimes make them: 256 bits in hexadecimal.
func isContainerID(s string) bool { return len(s) == 64 && isHex(s) }

func isHex(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return s != ""
}

// podUID is the uid of the pod that an element is: pod<uid>, or with systemd
// kubepods-burstable-pod<uid>.slice, in which dashes are underscores. A pod that does not
// come from the API server has 32 hexadecimal digits for a uid.
func podUID(e string) string {
	uid, ok := strings.CutPrefix(e, "pod")
	if !ok {
		slice, _, _ := strings.Cut(e, ":")
		name, isSlice := strings.CutSuffix(slice, ".slice")
		if !isSlice || !strings.Contains(name, "kubepods-") {
			return ""
		}
		if _, uid, ok = strings.Cut(name, "-pod"); !ok {
			return ""
		}
		uid = strings.ReplaceAll(uid, "_", "-")
	}
	if hex := strings.ReplaceAll(uid, "-", ""); len(hex) != 32 || !isHex(hex) || len(uid) != 32 && len(uid) != 36 {
		return ""
	}
	return uid
}
