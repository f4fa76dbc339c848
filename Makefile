# Every command a person or CI runs. `make` lists them.

# Every call of cargo takes these; where nobody is there to look at Cargo.lock, it must be as it is.
CARGO_FLAGS := $(if $(CI),--locked)

FILTERS := breaker discovery fused ratelimit ratelimit-headers routing
# What the demo runs.
DEMO    := fused
PROBES  := $(patsubst tests/probe/%/Cargo.toml,%,$(wildcard tests/probe/*/Cargo.toml))

# Envoy to test with. Unless one is named, `make need-envoy` puts ours here.
ENVOY ?= $(CURDIR)/.tools/bin/envoy
override ENVOY := $(if $(findstring /,$(ENVOY)),$(abspath $(ENVOY)),$(ENVOY))

STEP    := @tools/step.sh
WASM_P  := $(addprefix -p tidegate-,$(FILTERS) $(addprefix probe-,$(PROBES)))
# Packages with tests that need Envoy.
E2E     := -p tidegate-tests -p tidegate-demo -p tidegate-follow -p tidegate-release -p tidegate-tool
NEEDS   := need-rust need-envoy need-bindgen need-crane need-cyclonedx need-deny need-func-e need-servers need-packages need-node
TARGETS := help setup wasm filters probes tool run bench count count-main dead-upstream follow test test-fast e2e servers vectors schema check fmt audit release publish clean distclean

export CARGO_FLAGS ENVOY
# What the machine has comes first.
export PATH := $(PATH):$(CURDIR)/.tools/bin
# The shell counts its own seconds under this name.
unexport SECONDS

# Where the demo finds endpoints: static or consul. Not from the environment, where it may mean much else.
REGISTRY := static
unexport REGISTRY

# What a release is called: the version in Cargo.toml.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
unexport VERSION

# Paths that a person names; tests run in another folder.
NAMED := $(foreach name,CONSUL COREDNS CRANE SIGN_KEY TIDEGATE_VECTORS,$(if $($(name)),$(name)))
$(foreach name,$(NAMED),$(eval override $(name) := $(abspath $($(name)))))
export $(NAMED)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: $(TARGETS) $(NEEDS)

##@ Start

help: ## List the targets
	@on=; off=; if [ -t 1 ] && [ -z "$$NO_COLOR" ]; then on=$$(printf '\033[1;36m'); off=$$(printf '\033[0m'); fi; \
	awk -v on="$$on" -v off="$$off" -F ':.*## ' \
		'/^##@ / { print "\n" on substr($$0, 5) off } /^[a-z0-9-]+:.*## / { printf "  %s%-13s%s %s\n", on, $$1, off, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

setup: need-rust need-envoy need-bindgen need-func-e need-packages ## Install what the other targets need (each also installs its own)

wasm: filters probes ## Build all modules into dist/ and check their sizes

filters: need-rust need-packages ## Build the modules of the filters alone
	@tools/wasm.sh filters $(FILTERS)

probes: need-rust ## Build the modules that only tests and the benchmark need
	@tools/wasm.sh probes $(PROBES)

tool: need-rust ## Build the tool tidegate into dist/: it checks, explains, simulates and renders policies
	$(STEP) "tidegate" env TIDEGATE_COMMIT="$$(git rev-parse --short=12 HEAD 2>/dev/null)" cargo build $(CARGO_FLAGS) --release -p tidegate-tool
	@mkdir -p dist && cp "$${CARGO_TARGET_DIR:-target}/release/tidegate" dist/tidegate

run: need-rust need-envoy $(if $(filter consul,$(REGISTRY)),need-servers) ## Run the demo: SECONDS=20, or until Ctrl-C; REGISTRY=consul for a real Consul
	@tools/wasm.sh filters $(DEMO)
	@tools/demo.sh "$(SECONDS)" "$(REGISTRY)"

##@ Prove

test: test-fast e2e count-main ## Run every test; COUNT=off leaves out the count of instructions

test-fast: vectors ## Run the tests that need no Envoy
	$(STEP) "tests on the host" cargo test $(CARGO_FLAGS)

e2e: need-envoy need-func-e need-servers need-crane wasm ## Run the tests inside the real Envoy
	$(STEP) "tests in Envoy" cargo test $(CARGO_FLAGS) $(E2E) --test e2e -- --test-threads=2

servers: need-servers ## Build the real registries that end-to-end tests ask: minutes, once

vectors: need-rust need-bindgen need-node ## Run the test vectors, natively and on wasm32: TIDEGATE_VECTORS=folder for others
	$(STEP) "vectors on the host" cargo run $(CARGO_FLAGS) -q -p tidegate-vectors
	$(STEP) "vectors on wasm32-unknown-unknown" \
		env CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER="$(CURDIR)/.tools/bin/wasm-bindgen-test-runner" \
		cargo test $(CARGO_FLAGS) -p tidegate-vectors --target wasm32-unknown-unknown -- --nocapture

bench: need-envoy need-packages wasm ## Measure the cost of a request: BENCH_ARGS=... is passed on
	$(STEP) "benchmark" cargo run $(CARGO_FLAGS) --release -q -p tidegate-bench -- $(BENCH_ARGS)

count: need-envoy need-packages wasm ## Count the instructions of a request: UPDATE=1 writes the table, COUNT_ARGS=... is passed on
	$(STEP) "count" cargo run $(CARGO_FLAGS) -q -p tidegate-count -- $(if $(UPDATE),--update) $(COUNT_ARGS)

# What `make test` counts: fails where a row costs more than in the table, and where ptrace is not allowed.
count-main: need-envoy wasm
ifeq ($(COUNT),off)
	@echo "    count: left out, COUNT=off" >&2
else
	$(STEP) "count of the main rows" cargo run $(CARGO_FLAGS) -q -p tidegate-count -- --check
endif

dead-upstream: need-envoy filters ## Count what still reaches an upstream that always fails: DEAD_ARGS=... is passed on
	$(STEP) "dead upstream" cargo run $(CARGO_FLAGS) --release -q -p tidegate-dead-upstream -- $(DEAD_ARGS)

follow: need-envoy need-servers filters ## Measure how soon traffic follows Consul, and a large catalog: FOLLOW_ARGS=... is passed on
	$(STEP) "follow" cargo run $(CARGO_FLAGS) --release -q -p tidegate-follow -- $(FOLLOW_ARGS)

##@ Release

# The version is the workspace's. SIGN_KEY=file names a private key for ECDSA, in PEM.
release: need-rust need-cyclonedx filters ## Make a release in dist/release: modules, images, materials, sums; SIGN_KEY=file signs it
	@tools/release.sh make "$(VERSION)" $(FILTERS)

publish: need-crane ## Push the images of dist/release: REGISTRY_URL=ghcr.io/you
	@tools/release.sh publish "$(REGISTRY_URL)"

##@ Check

check: need-rust need-deny ## Check format, lints, documentation, licences and sources
	$(STEP) "format" cargo fmt --all --check
	$(STEP) "lints, host" cargo clippy $(CARGO_FLAGS) -q --all-targets -- -D warnings
	$(STEP) "lints, end-to-end tests" cargo clippy $(CARGO_FLAGS) -q $(E2E) --test e2e -- -D warnings
	$(STEP) "lints, modules" cargo clippy $(CARGO_FLAGS) -q --target wasm32-wasip1 $(WASM_P) -- -D warnings
	$(STEP) "lints, policy without std" cargo clippy $(CARGO_FLAGS) -q --target wasm32-unknown-unknown -p tidegate-policy -- -D warnings
	$(STEP) "documentation" env RUSTDOCFLAGS=-Dwarnings cargo doc $(CARGO_FLAGS) -q --no-deps
	$(STEP) "dependencies" .tools/bin/cargo-deny --log-level error $(CARGO_FLAGS) check bans licenses sources

schema: need-rust ## Print the JSON Schemas and the tables of the reference from the definitions of fields
	@cargo run $(CARGO_FLAGS) -q -p tidegate-reference

fmt: ## Format the source
	@cargo fmt --all

audit: need-deny ## Check the dependencies against known vulnerabilities; needs the network
	$(STEP) "advisories" .tools/bin/cargo-deny check advisories

##@ Clean

clean: ## Remove what was built
	@cargo clean -q
	@rm -rf dist

distclean: clean ## Remove what was installed into this folder, too
	@rm -rf .venv .tools

$(NEEDS): need-%:
	@tools/setup.sh $*
