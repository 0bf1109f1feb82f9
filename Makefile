# Everything is built from source. What is built once and kept (the control plane, the linter) goes to the user cache
# directory, keyed by version; Go modules come through Go itself.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# -buildvcs=false: a build must not depend on how the tree was fetched.
GO := go
BUILD := -buildvcs=false -trimpath
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/truce
LINTER := $(CACHE)/tools/$(shell cat tools/go.sum <($(GO) version) | sha256sum | cut -c1-12)/golangci-lint
CHART_TOOLS := $(CACHE)/tools/$(shell cat tools/chart/go.sum <($(GO) version) | sha256sum | cut -c1-12)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 60s

.PHONY: help
help: ## Say what there is to make
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start a real control plane with Truce on it, and play the incident without and with it
	@$(GO) run $(BUILD) ./lab $(if $(KEEP_AUDIT),-audit '$(KEEP_AUDIT)')

.PHONY: lab
lab: ## Play one scene: SCENE=incident ACTION=hold DURATION=1m KEEP_AUDIT=DIR, each optional
	@$(GO) run $(BUILD) ./lab $(if $(SCENE),-scene '$(SCENE)') $(if $(ACTION),-action '$(ACTION)') \
		$(if $(DURATION),-duration '$(DURATION)') $(if $(KEEP_AUDIT),-audit '$(KEEP_AUDIT)')

.PHONY: test
test: unit controlplane browser chart ## Run every test: unit, fuzz seeds, chart, end to end on a real API server, in a browser
	$(GO) test -timeout 30m -run Corpus ./pkg/replay ./pkg/audit # all of it; unit plays a sample
	$(GO) -C test/controlplane test .
	$(GO) -C release test -timeout 30m . # builds everything for two architectures
	$(GO) test -race -timeout 60m $$($(GO) list ./test/... | grep -v /test/chart)
	$(GO) test -timeout 15m -v -run TestIncident ./lab/incident # measures latencies: alone, without the race detector
	$(GO) test -race -skip TestIncident -timeout 15m ./lab/incident ./lab/office
	$(MAKE) fuzz

.PHONY: unit
unit: ## Run the tests that need no API server, with the race detector
	packages=$$($(GO) list ./... | grep -v -e /test/ -e /lab/incident -e /lab/office); $(GO) test -race -short -timeout 30m $$packages

.PHONY: browser
browser: ## Test the web page in a real Chromium (installed first where there is none)
	@test/browser/install.sh
	$(GO) -C test/browser vet ./...
	$(GO) -C test/browser test -timeout 20m .

.PHONY: pictures
pictures: ## Make the pictures in docs/pictures anew: the lab's pizza scene, photographed in a real Chromium
	@test/browser/install.sh
	$(GO) -C test/browser run ./pictures

.PHONY: cover
cover: ## Print the statement coverage of pkg/
	@$(GO) test -coverprofile=$${TMPDIR:-/tmp}/truce-cover.out -coverpkg=./pkg/... ./pkg/... >/dev/null
	@$(GO) tool cover -func=$${TMPDIR:-/tmp}/truce-cover.out | tail -1

.PHONY: chart
chart: $(CHART_TOOLS)/helm $(CHART_TOOLS)/helm3 $(CHART_TOOLS)/helm-unittest controlplane ## Test the Helm chart: lint, unit tests, and on a real API server
	$(CHART_TOOLS)/helm lint --strict charts/truce
	$(CHART_TOOLS)/helm-unittest --strict charts/truce
	TRUCE_CHART_TOOLS=$(CHART_TOOLS) $(GO) test -timeout 20m ./test/chart

.PHONY: fuzz
fuzz: ## Fuzz every parser and the ledger, FUZZTIME (60s) each
	@test/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Measure speed and memory against baselines in the same run
	$(GO) test -run '^$$' -bench . -benchmem ./pkg/...
	$(GO) run ./test/bench
	$(GO) run ./test/bench -latency
	$(GO) run ./test/bench -reporting
	$(GO) run ./test/auditbench # needs jq for its baseline

.PHONY: build
build: ## Build bin/webhook and bin/truce
	CGO_ENABLED=0 $(GO) build $(BUILD) -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

# The version is what git says, unless VERSION is given.
RELEASE := $(GO) -C release run . $(if $(filter command line environment,$(origin VERSION)),-version $(VERSION))

.PHONY: image
image: ## Make the container image for amd64 and arm64 and its SBOM in dist/, without a daemon or a registry
	@$(RELEASE) image

.PHONY: release
release: $(CHART_TOOLS)/helm ## Make a whole release in dist/: image, binaries, kubectl plugins, chart, checksums
	@$(RELEASE) -helm $(CHART_TOOLS)/helm all

.PHONY: generate
generate: $(CHART_TOOLS)/helm ## Write the generated files: the policy's JSON Schema and reference, what is made of the chart
	$(GO) generate ./...
	$(GO) test ./test/chart -run TestTheSchemaHoldsThoseOfPoliciesAndReceivers -update
	TRUCE_CHART_TOOLS=$(CHART_TOOLS) $(GO) test ./test/chart -run 'TestTheReadme|TestThePlainManifests' -update

.PHONY: lint
lint: $(LINTER) ## Check formatting, vet, static analysis and the arrows of imports
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these"; exit 1; }
	$(GO) vet ./...
	$(LINTER) run --allow-serial-runners ./...

# The linter takes minutes to build, so it is kept, under a name that changes with the tools' versions and Go's.
$(LINTER):
	@echo "building golangci-lint (first time only, takes some minutes)"
	@mkdir -p $(@D)
	@$(GO) -C tools build $(BUILD) -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# Helm and its companions are kept as well.
$(CHART_TOOLS)/helm:
	@echo "building helm (first time only, takes some minutes)" >&2
	@mkdir -p $(@D)
	@$(GO) -C tools/chart build $(BUILD) -ldflags '-s -w' -o $@ helm.sh/helm/v4/cmd/helm

$(CHART_TOOLS)/helm3:
	@echo "building helm 3 (first time only)" >&2
	@mkdir -p $(@D)
	@$(GO) -C tools/chart build $(BUILD) -ldflags '-s -w' -o $@ helm.sh/helm/v3/cmd/helm

$(CHART_TOOLS)/helm-unittest:
	@echo "building helm-unittest (first time only)" >&2
	@mkdir -p $(@D)
	@$(GO) -C tools/chart build $(BUILD) -ldflags '-s -w' -o $@ github.com/helm-unittest/helm-unittest/cmd/helm-unittest

# For tests that were not started by make.
.PHONY: chart-tools
chart-tools: $(CHART_TOOLS)/helm $(CHART_TOOLS)/helm3
	@echo $(CHART_TOOLS)

.PHONY: controlplane
controlplane: ## Build kube-apiserver, kube-controller-manager and etcd into the user cache (minutes, once)
	@$(GO) -C test/controlplane run .
