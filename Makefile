# make test     install what is missing, build, check, run all tests
# make quick    unit tests that need neither root nor other programs, under a minute
# make test-busy  what has clocks, deadlines or processes, three times, on a machine that is busy
# make test-vm  the part of make test that takes a VM: Linux's own 9P client on the tree
# make test-packages  the part of make test that takes a Debian: packages made, installed and used
# make run      three nodes on this machine, and ps and top on all of them (KEEP=1: leave them up)
# make build    bin/aggrfs and bin/procsrv, static
# make manual   their manual pages, and completions for bash, zsh and fish, in bin/share
# make bench    one line a figure: NAME ours=... against=... ratio=...
# make bench-scale  the same for NODES simulated nodes with PROCS processes each, for aggrfs ps on them, and for ps and top
# make sim      a cluster of NODES simulated nodes with PROCS processes each, to play with
# make fuzz     every fuzz target for FUZZTIME
# make soak     ten million requests to one server, and its memory
# make release  deb and rpm packages for ARCHES, amd64 and arm64, and their checksums, in DIST
# make install  programs, manual, documentation and units to $(DESTDIR)$(PREFIX), a configuration to $(DESTDIR)$(SYSCONFDIR)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

# What building and the demo need beside Go, as Debian packages.
RUN_PACKAGES := ca-certificates git util-linux mount procps

# What testing needs: the compiler is for the race detector; the rest are the
# programs that are run on the tree.
PACKAGES := ca-certificates gcc libc6-dev git fuse3 util-linux procps psmisc lsof htop tmux strace gdb bubblewrap atop tzdata \
	uidmap iproute2 busybox sysstat nodejs python3 python3-psutil default-jdk-headless clustershell slurm-client diod munge \
	prometheus prometheus-node-exporter openssh-server openssh-client

# What the tests in a VM need beside that and a kernel, which .ci/vm gets.
VM_PACKAGES := qemu-system-x86 busybox-static xz-utils procps psmisc mount ncurses-base

# What the tests of packages need, and what is in the Debian root that they are installed in.
PACKAGE_PACKAGES := git mmdebstrap lintian rpm rpmlint libcap2-bin util-linux mount
ROOT_PACKAGES := systemd systemd-sysv libcap2-bin fuse3 procps man-db bash-completion zsh fish plocate

# What is measured, and measured against.
BENCH_PACKAGES := $(RUN_PACKAGES) diod pdsh psmisc lsof iproute2 python3 python3-psutil

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# When the source was made, in seconds: what is built tells that time and no other.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
STATICCHECK_VERSION := v0.8.2
STATICCHECK := bin/staticcheck-$(STATICCHECK_VERSION)
# What needs libraries that the programs do not is in modules of its own.
MODULES := test/peers packaging/release
FUZZTIME ?= 60s
BRIEFLY := 5s
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
BIN ?= bin
SHARE := $(BIN)/share
DIST ?= $(CURDIR)/dist
ARCHES ?= amd64,arm64
# What a leaf is built for: machines of 32 and 64 bits, and of both byte orders. The tests of
# pkg/procfs9p mount by go-fuse, which does not build for 386: they are vetted for this machine alone.
LEAF_ARCHES := amd64 arm64 riscv64 ppc64le s390x 386
# The helper of unprivileged users, where the tree has it.
HELPER := $(notdir $(wildcard cmd/aggrfs-ns))
KEEP ?=
NODES ?= 2000
PROCS ?= 200

phase = @echo "== $(1)"

.PHONY: test quick test-busy test-vm test-packages run build bench bench-scale sim fuzz soak manual release install clean prepare prepare-run prepare-bench prepare-vm prepare-packages check

test: prepare build check
	$(call phase,tests with the race detector)
	@.ci/test -p 2 -timeout 25m ./...
	$(call phase,tests with the peers)
	@cd test/peers && ../../.ci/test -timeout 10m ./...
	@$(MAKE) --no-print-directory test-vm
	@$(MAKE) --no-print-directory test-packages
	$(call phase,fuzzing for $(BRIEFLY) each)
	@.ci/fuzz $(BRIEFLY)
	$(call phase,all is well)

# Packages whose tests make no namespaces, mounts or processes of other users, but for the
# tests that are named.
QUICK := ./internal/access ./internal/atomicfile ./internal/certs ./internal/cgroup ./internal/config/... \
	./internal/filewatch ./internal/flight ./internal/lograte ./internal/manual ./internal/plaintext ./internal/procfile ./internal/procpath ./internal/requestctx ./internal/rules \
	./internal/spelling ./internal/trusted ./internal/userdb ./pkg/aggregate/gpid ./pkg/aggregate/proctable \
	./pkg/aggregate/report ./pkg/aggregate/tree ./pkg/aggregate/upstream ./pkg/aggregate/view ./pkg/cachepolicy ./pkg/nodeset ./pkg/snapshot ./pkg/vfs ./test/wait
QUICK_NOT := TestCommandOfSource|TestRenewal|TestReadFile

quick:
	$(call phase,unit tests)
	@go test -skip '^($(QUICK_NOT))$$' $(QUICK)

# Packages whose tests have clocks, deadlines or processes. The longest come first.
BUSY := ./test/e2e ./pkg/aggregate/... ./pkg/ninep ./pkg/fusefs/... ./pkg/procfs9p/... ./cmd/... ./internal/app/... ./internal/handover \
	./internal/privs ./internal/nsexec/... ./internal/command ./internal/userdb ./internal/access ./internal/lograte \
	./internal/filewatch ./internal/flight ./pkg/cachepolicy ./pkg/snapshot ./test/cluster/... ./test/procsim

test-busy: prepare
	$(call phase,tests beside ten loops and 10000 processes)
	@RUN=.ci/busy .ci/test 3 $(BUSY)

test-vm: prepare-vm
	$(call phase,tests in a VM with the 9P client of Linux)
	@.ci/test -tags vm -timeout 15m ./test/vm

test-packages: prepare-packages
	$(call phase,tests of packages in a Debian of their own)
	@.ci/test -tags packages -timeout 15m ./test/packages

run: prepare-run build
	$(call phase,three nodes)
	@KEEP=$(KEEP) go run ./test/demo

bench: prepare-bench build
	$(call phase,figures)
	@go run ./test/bench
	@cd test/peers && go run .

bench-scale: prepare-bench build
	$(call phase,figures of scale)
	@scale=0; CGO_ENABLED=0 go run ./test/scale -nodes $(NODES) -procs $(PROCS) || scale=$$?; go run ./test/bench ps; exit $$scale

sim: build
	$(call phase,$(NODES) simulated nodes)
	@go run ./test/sim -nodes $(NODES) -procs $(PROCS)

soak: prepare-run
	$(call phase,soak)
	@cd test/peers && go run . soak

fuzz: prepare
	$(call phase,fuzzing for $(FUZZTIME) each)
	@.ci/fuzz $(FUZZTIME)

build:
	$(call phase,build $(VERSION))
	@mkdir -p $(BIN)
	@CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION) -X main.installedConfig=$(SYSCONFDIR)/aggrfs/aggrfs.yaml' -o $(BIN)/ ./cmd/aggrfs ./cmd/procsrv $(HELPER:%=./cmd/%)

# Made of help texts and documents by programs for the machine that builds.
manual:
	$(call phase,manual)
	@rm -rf $(SHARE)
	@for program in aggrfs procsrv; do \
		CGO_ENABLED=0 GOARCH= go run -trimpath -tags manual -ldflags '-X main.version=$(VERSION)' ./cmd/$$program $(SHARE) $(PREFIX)/share/doc/aggrfs; done

prepare:
	$(call phase,prerequisites)
	@.ci/prepare $(PACKAGES)

prepare-run:
	$(call phase,prerequisites)
	@.ci/prepare $(RUN_PACKAGES)

prepare-bench:
	$(call phase,prerequisites of the measurements)
	@.ci/prepare $(BENCH_PACKAGES)

prepare-vm:
	$(call phase,prerequisites of the tests in a VM)
	@.ci/prepare $(VM_PACKAGES)
	@.ci/vm bin/vm

prepare-packages:
	$(call phase,prerequisites of the tests of packages)
	@.ci/prepare $(PACKAGE_PACKAGES)
	@.ci/root bin/root $(ROOT_PACKAGES)

check: $(STATICCHECK)
	$(call phase,gofmt)
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "not formatted, run gofmt -w:" $$bad >&2; exit 1; fi
	$(call phase,go vet)
	@go vet -tags vm,packages ./...
	@go vet -tags manual ./cmd/...
	@for module in $(MODULES); do (cd $$module && go vet ./...); done
	$(call phase,go vet of the leaf for $(LEAF_ARCHES))
	@for arch in $(LEAF_ARCHES); do export GOARCH=$$arch CGO_ENABLED=0; \
		go vet $$(go list -deps ./cmd/procsrv | grep '^github.com/aggrfs/' | grep -v '/pkg/procfs9p$$'); go build -o /dev/null ./cmd/procsrv; done
	$(call phase,staticcheck)
	@$(STATICCHECK) -tags vm,packages ./...
	@for module in $(MODULES); do (cd $$module && $(CURDIR)/$(STATICCHECK) ./...); done

$(STATICCHECK):
	$(call phase,staticcheck $(STATICCHECK_VERSION))
	@mkdir -p bin
	@GOBIN=$(CURDIR)/bin go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	@mv bin/staticcheck $@

# Units name programs below /usr/local and, as configurations do, files below /etc. A
# configuration that is there already stays.
install: build manual
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/bin $(BIN)/aggrfs
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/sbin $(BIN)/procsrv
	$(if $(HELPER),install -D -m 0755 -t $(DESTDIR)$(PREFIX)/libexec/aggrfs $(BIN)/$(HELPER))
	cd $(SHARE) && find * -type f -exec install -D -m 0644 {} $(abspath $(DESTDIR)$(PREFIX))/share/{} ';'
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/aggrfs README.md LICENSE
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/aggrfs/docs docs/*.md
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/aggrfs/configs configs/*.yaml configs/*.json
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/aggrfs/packaging packaging/README.md packaging/procsrv-control.conf
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/aggrfs/packaging/prometheus packaging/prometheus/*
	for unit in aggrfs.service aggrfs-mount.service procsrv.service; do \
		sed 's|/usr/local/|$(PREFIX)/|g; s|/etc/aggrfs/|$(SYSCONFDIR)/aggrfs/|g' packaging/$$unit | \
			install -D -m 0644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit; done
	install -D -m 0644 packaging/aggrfs.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/aggrfs.conf
	install -D -m 0644 packaging/procsrv.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/procsrv.conf
	install -D -m 0644 packaging/aggrfs.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/aggrfs.conf
	for file in packaging/aggrfs.yaml configs/cachepolicy.yaml; do \
		to=$(DESTDIR)$(SYSCONFDIR)/aggrfs/$$(basename $$file); [ -e $$to ] || \
			sed 's|/etc/aggrfs/|$(SYSCONFDIR)/aggrfs/|g' $$file | install -D -m 0644 /dev/stdin $$to; done

# The same commit gives the same bytes.
release:
	$(call phase,packages of $(VERSION))
	@cd packaging/release && VERSION=$(VERSION) go run . -source $(CURDIR) -out $(DIST) -arch $(ARCHES)
	@cd $(DIST) && cat SHA256SUMS

clean:
	rm -rf bin dist
