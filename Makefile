# Everything a newcomer needs: make demo, make test. Tools land in RACKPLANE_CACHE, never here.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export RACKPLANE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rackplane
export CGO_ENABLED ?= 0
TOOLS := $(RACKPLANE_CACHE)/tools
GOFLAGS_BUILD := -trimpath
# The pure packages; hack/pure says what that means.
PURE := $(addprefix ./,$(shell sed '/^\#/d' hack/pure))
BMO_API := github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1

##@ Use
.PHONY: demo
demo: build demo-deps ## Run the main job on a simulated rack (MODE=preprovisioned, OPENSTACK=1: computes of a real cloud, KEEP=1)
	@bin/demo --mode "$(or $(MODE),baremetal)" $(if $(OPENSTACK),--openstack) $(if $(KEEP),--keep)

.PHONY: demo-stop
demo-stop: build ## Stop what KEEP=1 left running
	@bin/demo --stop

.PHONY: build
build: ## Build bin/rackplane and bin/demo
	@go build $(GOFLAGS_BUILD) -o bin/rackplane ./cmd/rackplane
	@go build $(GOFLAGS_BUILD) -o bin/demo ./test/demo

.PHONY: install
install: build kube-assets ansible-assets ## Install rackplane, also as kubectl-rackplane, into PREFIX/bin (default /usr/local)
	install -D -m 0755 bin/rackplane $(or $(PREFIX),/usr/local)/bin/rackplane
	ln -sf rackplane $(or $(PREFIX),/usr/local)/bin/kubectl-rackplane

.PHONY: deploy
deploy: ## Apply the CRDs, RBAC and manager to the cluster of the current kubeconfig
	kubectl apply -k config/default

##@ Set-up (called by the targets that need it; safe to repeat)
.PHONY: kube-assets
kube-assets: ## etcd and kube-apiserver in the cache
	@hack/kube-assets.sh >/dev/null

.PHONY: ansible-assets
ansible-assets: ## the Ansible virtual environment in the cache
	@hack/ansible/venv.sh >/dev/null

.PHONY: rack-assets
rack-assets: ## system packages, Ironic, sushy-tools and the demo's node image
	@hack/deps.sh rack && hack/rack/venv.sh >/dev/null && hack/rack/image.sh >/dev/null

.PHONY: demo-deps
demo-deps: rack-assets kube-assets ansible-assets

.PHONY: test-deps
test-deps: demo-deps
	@hack/test-deps.sh && hack/deps.sh bmc && hack/bmc/venv.sh >/dev/null

.PHONY: image
image: ## The node image for servers, qcow2 and raw with checksums: Debian 13 and all default services (PACKAGES="firmware-...")
	@hack/deps.sh rack && RACKPLANE_IMAGE_PACKAGES="$(PACKAGES)" hack/rack/publish.sh

##@ Test
# The suites that mostly wait, for machines and for leases, the longest first. go test begins with what is named first, and
# two more packages at a time than there are cores leave none of these idle meanwhile.
WAITING := ./test/e2e ./playbooks/onhosts/compute ./playbooks/onhosts/system ./provisioner/ironic/conformance ./test/takeover ./test/rack

.PHONY: test
test: vet-modules test-deps ## All tests: unit, API, crash, adapters and the demo itself on a real Ironic
	@echo "the demo and services on hosts come first and take a quarter of an hour; what is done beside them is told after them"
	go test -timeout 40m -p $$(($$(nproc) + 2)) $(WAITING) ./...

.PHONY: e2e-openstack
e2e-openstack: demo-deps build ## Nodes become computes of a real OpenStack; takes about 16 minutes, the first time 10 more for images
	go test -count=1 -p 1 -timeout 50m -tags e2eopenstack -run 'OpenStack|ControlPlane|Conformance' -v ./test/openstack ./test/e2e

.PHONY: e2e-openstack-guest
e2e-openstack-guest: demo-deps build ## A virtual machine with a kernel of its own becomes a compute of a real OpenStack; every instruction of it is emulated, which takes about 20 minutes
	go test -count=1 -timeout 120m -tags e2eguest -run TestGuest -v ./test/e2e

.PHONY: test-unit
test-unit: ## Only what needs no assets
	go test $(PURE) ./api/... ./openstack/... ./provisioner/ironic ./redfish ./redfish/broker ./redfish/ipmi ./redfish/redfishtest ./controllers/... ./wire/...

.PHONY: test-race
test-race: ## The unit tests under the race detector
	CGO_ENABLED=1 go test -race $(PURE) ./openstack/... ./provisioner/ironic ./redfish ./redfish/broker ./redfish/ipmi ./redfish/redfishtest ./controllers/... ./wire/...

.PHONY: test-image
test-image: ## Boot the node image as a virtual machine, emulated by QEMU (10 to 20 minutes; not part of make test)
	go test -tags e2eguest -count 1 -timeout 30m -v ./test/guest

.PHONY: test-nmstate
test-nmstate: ## Hold every rendered network against the real nmstatectl, which is built first (a Rust toolchain and some minutes)
	@hack/nmstate.sh && go test -count=1 -tags nmstate -run TestNmstateAccepts ./network

.PHONY: bench
bench: ## Benchmarks of planning and of a no-op pass; figures are kept in docs/benchmarks.md
	go test -run '^$$' -bench . -benchmem $(PURE) ./openstack/api ./controllers/nodeset

.PHONY: bench-scale
bench-scale: kube-assets ## What the engine costs with many nodes, one JSON object per size of SIZES (default 100,300,1000; the last takes a quarter of an hour); OUTAGE=10m: what follows when the API server is away for so long; DEAD=refused or silent: nodes that never answer; WORKERS=16: so many hosts, nodes and deployments at once; PARTS=2: only until the nodes are ready
	go run ./test/scale -sizes $(or $(SIZES),100,300,1000) $(if $(OUTAGE),-outage $(OUTAGE)) $(if $(DEAD),-dead $(DEAD)) $(if $(WORKERS),-workers $(WORKERS)) $(if $(PARTS),-parts $(PARTS)) $(if $(PROFILES),-profiles $(PROFILES))

.PHONY: cover
cover: ## Coverage of the pure packages
	go test -coverprofile=cover.out $(PURE)
	go tool cover -func=cover.out | tail -1

.PHONY: soak
soak: kube-assets ## The long forms: every fault at every act, with caches that lag too, then pairs for DURATION (default 10m; FAULTS_SEED=n makes the same ones again); every field of every kind; more orders of 300 nodes
	GOGC=400 go test -count=1 -timeout 0 ./test/schema -every
	@set -o pipefail; go test -count=1 -timeout 0 -v -run TestLag ./test/crash -lags 1000 | grep -v -e '^ *--- PASS' -e '^=== '
	go test -count=1 -timeout 0 ./test/schedules -schedules 10000 -sites 20
	go test -count=1 -timeout 0 ./test/timeline -seeds 5 -nodes 300
	@set -o pipefail; go test -count=1 -timeout 0 -v ./test/faults -soak $(or $(DURATION),10m) | grep -v -e '^ *--- PASS' -e '^=== '

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (default 20s)
	@grep -rl --include=*_test.go '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for target in $$(grep -rhoE '^func Fuzz[A-Za-z0-9]+' $$dir/*_test.go | cut -c6-); do \
			go test $$dir -run '^$$' -fuzz "^$$target\$$" -fuzztime $(or $(FUZZTIME),20s) || exit 1; done; done

##@ Check
.PHONY: lint
lint: $(TOOLS)/golangci-lint ## golangci-lint with kube-api-linter
	@hack/lint/run.sh run ./...

.PHONY: lint-fix
lint-fix: $(TOOLS)/golangci-lint ## The same, mending what it can
	@hack/lint/run.sh run --fix ./...

.PHONY: lint-playbooks
lint-playbooks: ## ansible-lint at the production profile
	@hack/ansible/lint.sh

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## gofumpt and import order
	@hack/lint/run.sh fmt ./...

.PHONY: generate
generate: $(TOOLS)/controller-gen ## Deep copies, CRDs and RBAC
	$(TOOLS)/controller-gen object paths=./api/...
	$(TOOLS)/controller-gen crd:allowDangerousTypes=false paths=./api/... output:crd:dir=config/crd
	$(TOOLS)/controller-gen rbac:roleName=rackplane-manager paths=./controllers/... output:rbac:dir=config/rbac
	@hack/metal3-crds.sh $(TOOLS)/controller-gen $(BMO_API)

.PHONY: verify
verify: generate vet-modules verify-pure ## Fail when generated files or module files are stale
	go test ./provisioner/lifecycle -run Document
	@git diff --exit-code -- api config docs go.mod go.sum || { echo "verify: run 'make generate' and commit"; exit 1; }

.PHONY: verify-pure
verify-pure:
	@diff <(sed '/^#/d' hack/pure) <(sed -n '/^        pure:/,/"!$$test"/p' .golangci.yml | sed -nE 's|^ *- "\*\*/(.*)/\*\.go"$$|\1|p') || \
		{ echo "verify: the files of depguard's rule pure in .golangci.yml are not the packages of hack/pure"; exit 1; }

.PHONY: vet-modules
vet-modules:
	@go mod verify >/dev/null && go vet ./api/... ./ansible ./fault

.PHONY: presubmit
presubmit: verify lint test ## What a change must pass

$(TOOLS)/golangci-lint: hack/lint/go.mod
	@echo "building golangci-lint with kube-api-linter (about 4 minutes, once)"
	@mkdir -p $(TOOLS) && cd hack/lint && go build -trimpath -o $@.new sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter && mv $@.new $@ && touch $@

$(TOOLS)/controller-gen: hack/tools/go.mod
	@mkdir -p $(TOOLS) && cd hack/tools && go build -trimpath -o $@.new sigs.k8s.io/controller-tools/cmd/controller-gen && mv $@.new $@ && touch $@

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z_-]+:.*##/ {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
